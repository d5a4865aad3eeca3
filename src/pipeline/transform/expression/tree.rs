//! What an expression consists of.

use crate::model::Value;

/// A node, and where it stands: a byte of the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    pub(super) at: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Literal(Value),
    Name(Box<str>),
    Attribute(Box<Tree>, Box<str>),
    Item(Box<Tree>, Box<Tree>),
    Unary(Unary, Box<Tree>),
    Binary(Binary, Box<Tree>, Box<Tree>),
    /// `a < b < c`: the first operand, and each further one with the relation before it.
    Compare(Box<Tree>, Vec<(Relation, Tree)>),
    And(Vec<Tree>),
    Or(Vec<Tree>),
    /// `yes if test else no`
    If(Box<[Tree; 3]>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unary {
    Plus,
    Minus,
    Not,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Modulo,
    Power,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Is,
    IsNot,
    In,
    NotIn,
}

impl Tree {
    /// The tree with other places: those of the text before the tokens were replaced.
    pub(super) fn moved(mut self, place: &impl Fn(usize) -> usize) -> Tree {
        self.move_all(place);
        self
    }

    fn move_all(&mut self, place: &impl Fn(usize) -> usize) {
        self.at = place(self.at);
        match &mut self.kind {
            Kind::Literal(_) | Kind::Name(_) => {}
            Kind::Attribute(of, _) | Kind::Unary(_, of) => of.move_all(place),
            Kind::Item(a, b) | Kind::Binary(_, a, b) => [a, b].into_iter().for_each(|tree| tree.move_all(place)),
            Kind::Compare(first, rest) => {
                first.move_all(place);
                rest.iter_mut().for_each(|(_, tree)| tree.move_all(place));
            }
            Kind::And(all) | Kind::Or(all) => all.iter_mut().for_each(|tree| tree.move_all(place)),
            Kind::If(all) => all.iter_mut().for_each(|tree| tree.move_all(place)),
        }
    }
}
