//! What the operator chose, and what each key changes of it. It knows no terminal.

use super::lines::Table;
use super::tabs::Tab;
use crate::coordination::Operation;
use crate::desk::Picture;

/// The longest text that is typed, in characters.
const TYPED_MAX: usize = 100;

/// A key, as far as one is of use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Tab,
    Enter,
    Escape,
    Backspace,
}

/// What the screen is for at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    /// A table.
    Table,
    /// One row of it by itself.
    Detail(String),
    /// A filter is typed.
    Filter,
    /// It is asked whether to pause, or to resume: the one that was right when it was asked.
    Pause(Operation),
    /// It is asked to which member a queue is moved: one of those that there were when it was asked, in that order.
    Move { queue: String, members: Vec<String>, typed: String },
    /// It is asked whether a queue is unpinned.
    Unpin(String),
}

/// What the operator chose.
#[derive(Debug, Clone)]
pub(super) struct Ui {
    pub(super) tab: Tab,
    pub(super) mode: Mode,
    pub(super) filter: String,
    /// What came of the last question.
    pub(super) said: String,
    /// For each table the column that it is sorted by, and whether in reverse.
    orders: [(usize, bool); Tab::ALL.len()],
    /// The name of the chosen row, and where it last stood.
    row: (String, usize),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing but to show it.
    Show,
    /// The end.
    Quit,
    /// To be asked of the group.
    Operate(Operation),
}

impl Ui {
    /// As it begins.
    pub(super) fn new() -> Ui {
        Ui {
            tab: Tab::Queues,
            mode: Mode::Table,
            filter: String::new(),
            said: String::new(),
            orders: Tab::ALL.map(Tab::order),
            row: (String::new(), 0),
        }
    }

    /// The column that the table is sorted by, and whether in reverse.
    pub(super) fn order(&self) -> (usize, bool) {
        self.orders[self.place()]
    }

    fn place(&self) -> usize {
        Tab::ALL.iter().position(|tab| *tab == self.tab).unwrap_or(0)
    }

    /// The table as it is shown.
    pub(super) fn table(&self, picture: &Picture) -> Table {
        let (column, reversed) = self.order();
        self.tab.table(picture).filtered(&self.filter).sorted(column, reversed)
    }

    /// Where the chosen row stands in a table: where it is by its name, or where it was.
    pub(super) fn chosen(&self, table: &Table) -> usize {
        let by_name = table.rows.iter().position(|row| row.name == self.row.0);
        by_name.unwrap_or(self.row.1).min(table.rows.len().saturating_sub(1))
    }

    /// Members that a queue can be moved to.
    fn members(picture: &Picture) -> Vec<String> {
        let is_there = |member: &&crate::desk::picture::Member| member.state != "gone";
        picture.members.iter().filter(is_there).map(|member| member.id.clone()).collect()
    }

    /// A key was pressed while this picture was shown, with room for so many rows.
    pub(super) fn press(&mut self, key: Key, picture: &Picture, page: usize) -> Action {
        match self.mode.clone() {
            Mode::Table => self.in_table(key, picture, page),
            Mode::Detail(_) => match key {
                Key::Char('q') => Action::Quit,
                Key::Escape | Key::Enter | Key::Backspace => self.back(),
                Key::Char('m' | 'u' | 'p') | Key::Tab => {
                    self.mode = Mode::Table;
                    self.in_table(key, picture, page)
                }
                _ => Action::Show,
            },
            Mode::Filter => match key {
                Key::Enter => self.back(),
                Key::Escape => {
                    self.filter.clear();
                    self.back()
                }
                Key::Backspace => {
                    self.filter.pop();
                    Action::Show
                }
                Key::Char(c) if self.filter.chars().count() < TYPED_MAX => {
                    self.filter.push(c);
                    Action::Show
                }
                _ => Action::Show,
            },
            Mode::Pause(operation) => self.asked(key, operation),
            Mode::Unpin(queue) => self.asked(key, Operation::Unpin { queue }),
            Mode::Move { queue, members, typed } => self.moving(key, queue, members, typed),
        }
    }

    fn back(&mut self) -> Action {
        self.mode = Mode::Table;
        Action::Show
    }

    /// The answer to a question.
    fn asked(&mut self, key: Key, operation: Operation) -> Action {
        match key {
            Key::Char('y') => {
                self.mode = Mode::Table;
                Action::Operate(operation)
            }
            Key::Char(_) | Key::Escape | Key::Enter => self.back(),
            _ => Action::Show,
        }
    }

    fn moving(&mut self, key: Key, queue: String, members: Vec<String>, mut typed: String) -> Action {
        match key {
            Key::Escape => return self.back(),
            Key::Enter => {
                let by_number = typed.parse::<usize>().ok().and_then(|n| members.get(n.checked_sub(1)?));
                let by_id = members.iter().find(|id| **id == typed);
                self.mode = Mode::Table;
                let Some(member) = by_id.or(by_number) else {
                    self.said = format!("cannot move {queue}: there is no member {typed:?}");
                    return Action::Show;
                };
                return Action::Operate(Operation::Pin { queue, member: member.clone() });
            }
            Key::Backspace => drop(typed.pop()),
            Key::Char(c) if typed.chars().count() < TYPED_MAX => typed.push(c),
            _ => {}
        }
        self.mode = Mode::Move { queue, members, typed };
        Action::Show
    }

    fn in_table(&mut self, key: Key, picture: &Picture, page: usize) -> Action {
        let table = self.table(picture);
        let (at, last) = (self.chosen(&table), table.rows.len().saturating_sub(1));
        let mut choose = |n: usize| {
            let n = n.min(last);
            self.row = (table.rows.get(n).map(|row| row.name.clone()).unwrap_or_default(), n);
        };
        match key {
            Key::Char('q') => return Action::Quit,
            Key::Up | Key::Char('k') => choose(at.saturating_sub(1)),
            Key::Down | Key::Char('j') => choose(at + 1),
            Key::PageUp => choose(at.saturating_sub(page.max(1))),
            Key::PageDown => choose(at + page.max(1)),
            Key::First => choose(0),
            Key::Last => choose(last),
            Key::Tab => self.turn(Tab::ALL[(self.place() + 1) % Tab::ALL.len()]),
            Key::Char(digit @ '1'..='5') => {
                if let Some(tab) = digit.to_digit(10).and_then(|n| Tab::ALL.get(n as usize - 1)) {
                    self.turn(*tab);
                }
            }
            Key::Char('/') => self.mode = Mode::Filter,
            Key::Escape => self.filter.clear(),
            Key::Char('s') => {
                let place = self.place();
                self.orders[place] = ((self.orders[place].0 + 1) % table.columns.len(), false);
            }
            Key::Char('r') => {
                let place = self.place();
                self.orders[place].1 ^= true;
            }
            Key::Enter => {
                if let Some(row) = table.rows.get(at) {
                    choose(at);
                    self.mode = Mode::Detail(row.name.clone());
                }
            }
            Key::Char('p' | 'm' | 'u') if !picture.shared => {
                "these agents have no group: there is nothing to pause or to move".clone_into(&mut self.said);
            }
            Key::Char('p') => {
                self.mode = Mode::Pause(if picture.paused { Operation::Resume } else { Operation::Pause });
            }
            Key::Char(what @ ('m' | 'u')) => match table.rows.get(at).filter(|_| self.tab == Tab::Queues) {
                Some(row) if what == 'm' => {
                    let (queue, members) = (row.name.clone(), Ui::members(picture));
                    self.mode = Mode::Move { queue, members, typed: String::new() };
                }
                Some(row) => self.mode = Mode::Unpin(row.name.clone()),
                None => "choose a queue in the first table".clone_into(&mut self.said),
            },
            _ => {}
        }
        Action::Show
    }

    fn turn(&mut self, tab: Tab) {
        self.tab = tab;
        self.row = (String::new(), 0);
    }
}
