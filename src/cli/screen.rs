//! The terminal as a screen: taken over, drawn on, listened to, and given back whatever happens. The only file that knows
//! crossterm.
//!
//! Given back when the screen is dropped and before a panic's message is printed; whoever holds a screen minds the
//! signals, because nobody restores a terminal in a process that was ended.

use super::terminal::Paint;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::style::Print;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{execute, queue};
use std::io::{self, Stdout, Write};
use std::time::Duration;
use tokio::sync::mpsc;

/// Keys that wait to be minded.
const KEYS_MAX: usize = 64;
/// How often the listener looks whether anybody still wants its keys.
const LISTEN_MAX: Duration = Duration::from_millis(200);
/// What a terminal is taken for that does not know its size.
const SIZE_UNKNOWN: (u16, u16) = (80, 24);

/// What a person did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// A key with a character.
    Key(char),
    /// Ctrl-C or Escape.
    Quit,
    /// The terminal has another size.
    Resized,
}

/// A line with its paint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Without control characters.
    pub(super) text: String,
    /// All of it.
    pub(super) paint: Option<Paint>,
}

/// See the module.
pub(super) struct Screen {
    output: Stdout,
    colours: bool,
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn open(colours: bool) -> io::Result<Self> {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            previous(info);
        }));
        enable_raw_mode()?;
        // From here on it is given back.
        let mut screen = Self { output: io::stdout(), colours };
        execute!(screen.output, EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    /// Columns and rows.
    pub(super) fn size() -> (usize, usize) {
        let (columns, rows) = crossterm::terminal::size()
            .ok()
            .filter(|(columns, rows)| *columns > 0 && *rows > 0)
            .unwrap_or(SIZE_UNKNOWN);
        (usize::from(columns), usize::from(rows))
    }

    /// Shows these lines and nothing else; what does not fit is not shown.
    pub(super) fn draw(&mut self, lines: &[Line]) -> io::Result<()> {
        let (columns, rows) = Self::size();
        for (row, line) in (0..).zip(lines.iter().take(rows)) {
            let text: String = line.text.chars().take(columns).collect();
            let shown = line.paint.map_or_else(|| text.clone(), |paint| paint.on(&text, self.colours));
            // Cleared first: a line that fills the row leaves the cursor on its last column, which would go too.
            queue!(self.output, MoveTo(0, row), Clear(ClearType::CurrentLine), Print(shown))?;
        }
        if lines.len() < rows {
            let below = u16::try_from(lines.len()).unwrap_or(u16::MAX);
            queue!(self.output, MoveTo(0, below), Clear(ClearType::FromCursorDown))?;
        }
        self.output.flush()
    }

    /// What people do from now on; ends with its receiver, or with the terminal.
    pub(super) fn inputs(&self) -> mpsc::Receiver<Input> {
        let (sender, receiver) = mpsc::channel(KEYS_MAX);
        std::thread::spawn(move || {
            while !sender.is_closed() {
                let heard = match event::poll(LISTEN_MAX) {
                    Ok(false) => continue,
                    Ok(true) => event::read(),
                    Err(error) => Err(error),
                };
                let Ok(heard) = heard else { return };
                if let Some(input) = meaning(&heard)
                    && sender.blocking_send(input).is_err()
                {
                    return;
                }
            }
        });
        receiver
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back; as often as one likes. If it is gone there is nothing to restore.
fn restore() {
    execute!(io::stdout(), LeaveAlternateScreen, Show).ok();
    disable_raw_mode().ok();
}

fn meaning(event: &Event) -> Option<Input> {
    match event {
        Event::Resize(..) => Some(Input::Resized),
        Event::Key(key) if key.kind == KeyEventKind::Release => None,
        Event::Key(key) => match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Input::Quit),
            KeyCode::Esc => Some(Input::Quit),
            KeyCode::Char(char) => Some(Input::Key(char)),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossterm::event::KeyEvent;

    #[test]
    fn keys_mean_what_people_expect() {
        let key = |code, modifiers| meaning(&Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Input::Quit));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), Some(Input::Key('c')));
        assert_eq!(key(KeyCode::Esc, KeyModifiers::NONE), Some(Input::Quit));
        assert_eq!(key(KeyCode::Home, KeyModifiers::NONE), None);
        assert_eq!(meaning(&Event::Resize(80, 24)), Some(Input::Resized));
    }
}
