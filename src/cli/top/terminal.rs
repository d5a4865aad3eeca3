//! The terminal: its keys, its size, and lines on it. It is given back as it was, however this ends.

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::style::{Attribute, Color, Print, ResetColor, SetAttribute, SetForegroundColor};
use crossterm::terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{QueueableCommand as _, execute};
use std::io::{self, Write as _};
use std::time::Duration;
use tokio::sync::mpsc;

use super::lines::{Line, Tone};
use super::ui::Key;

/// Keys that wait, at most.
const KEYS_MAX: usize = 64;
/// How often it is looked whether the keys are still wanted.
const LOOK: Duration = Duration::from_millis(100);
/// The size where the terminal does not say.
const SIZE: (u16, u16) = (80, 24);

/// A terminal that shows screens.
pub(super) struct Terminal {
    colours: bool,
}

/// What comes from the terminal.
pub(super) enum Input {
    /// A key.
    Key(Key),
    /// Its size changed.
    Resized,
    /// Ctrl-C.
    Interrupt,
}

impl Terminal {
    /// Takes the terminal.
    pub(super) fn open() -> io::Result<Terminal> {
        terminal::enable_raw_mode()?;
        let opened = Terminal { colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) };
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(opened)
    }

    /// Its columns and rows.
    pub(super) fn size() -> (usize, usize) {
        let (columns, rows) = terminal::size().ok().filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or(SIZE);
        (usize::from(columns), usize::from(rows))
    }

    /// Shows a screen.
    pub(super) fn show(&self, lines: &[Line]) -> io::Result<()> {
        let mut out = Vec::new();
        for (n, line) in lines.iter().enumerate() {
            out.queue(MoveTo(0, u16::try_from(n).unwrap_or(u16::MAX)))?;
            for part in &line.0 {
                self.tone(&mut out, part.tone)?;
                out.queue(Print(&part.text))?.queue(SetAttribute(Attribute::Reset))?.queue(ResetColor)?;
            }
            out.queue(Clear(ClearType::UntilNewLine))?;
        }
        out.queue(Clear(ClearType::FromCursorDown))?;
        let mut stdout = io::stdout().lock();
        stdout.write_all(&out)?;
        stdout.flush()
    }

    fn tone(&self, out: &mut Vec<u8>, tone: Tone) -> io::Result<()> {
        let colour = match tone {
            Tone::Good => Some(Color::Green),
            Tone::Warn => Some(Color::Yellow),
            Tone::Bad => Some(Color::Red),
            Tone::Plain | Tone::Title | Tone::Dim | Tone::Chosen => None,
        };
        if let Some(colour) = colour.filter(|_| self.colours) {
            out.queue(SetForegroundColor(colour))?;
        }
        let attribute = match tone {
            Tone::Title | Tone::Bad => Some(Attribute::Bold),
            Tone::Dim => Some(Attribute::Dim),
            Tone::Chosen => Some(Attribute::Reverse),
            Tone::Plain | Tone::Good | Tone::Warn => None,
        };
        if let Some(attribute) = attribute {
            out.queue(SetAttribute(attribute))?;
        }
        Ok(())
    }

    /// What comes from it, read on a thread of its own until nobody listens.
    pub(super) fn inputs() -> mpsc::Receiver<Input> {
        let (send, inputs) = mpsc::channel(KEYS_MAX);
        std::thread::spawn(move || {
            while !send.is_closed() {
                let input = match event::poll(LOOK) {
                    Ok(false) => continue,
                    Ok(true) => event::read().ok().map(read),
                    Err(_) => None,
                };
                match input {
                    Some(Some(input)) => {
                        if send.blocking_send(input).is_err() {
                            return;
                        }
                    }
                    Some(None) => {}
                    // The terminal is gone.
                    None => return,
                }
            }
        });
        inputs
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Where the terminal is gone there is nobody to tell.
        let _left = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _raw = terminal::disable_raw_mode();
    }
}

/// What an event means here, if anything.
fn read(event: Event) -> Option<Input> {
    let key = match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        Event::Resize(..) => return Some(Input::Resized),
        _ => return None,
    };
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return matches!(key.code, KeyCode::Char('c')).then_some(Input::Interrupt);
    }
    let key = match key.code {
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::First,
        KeyCode::End => Key::Last,
        KeyCode::Tab => Key::Tab,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    };
    Some(Input::Key(key))
}
