//! The choices of the user, and the keys that change them.

use ctnetlink::{Family, Filter};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{GroupBy, SortBy};

/// The work that a key causes, beyond a new screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the caller must react to each")]
pub enum Reaction {
    /// Nothing.
    Stay,
    /// Other groups or another order.
    Arrange,
    /// Other flows: see [`App::filter`].
    Choose,
    /// Pause, or go on.
    Pause,
    /// The end.
    Quit,
}

/// The choices of the user.
#[derive(Debug)]
pub struct App {
    /// The name of the namespace, for the title.
    pub title: String,
    /// The meaning of a row.
    pub by: GroupBy,
    /// The order of rows.
    pub sort: SortBy,
    /// Whether the screen stands still.
    pub is_paused: bool,
    /// The first row that is shown.
    pub offset: usize,
    /// A message for the user: an error of the mirror, or a setting that is off.
    pub warning: Option<String>,
    family: Option<Family>,
    text: String,
    filter: Filter,
    input: Option<Input>,
}

/// A filter that is being typed.
#[derive(Debug)]
struct Input {
    text: String,
    parsed: Result<Filter, String>,
}

impl Input {
    fn new(text: String) -> Self {
        let parsed = parse(&text);
        Self { text, parsed }
    }
}

/// An empty text matches every flow.
fn parse(text: &str) -> Result<Filter, String> {
    if text.trim().is_empty() {
        return Ok(Filter::everything());
    }
    text.parse().map_err(|error: ctnetlink::filter::ParseFilterError| error.to_string())
}

impl App {
    /// Creates the choices at the start.
    ///
    /// # Errors
    ///
    /// Fails if the filter is wrong.
    pub fn new(title: String, filter: &str) -> Result<Self, String> {
        Ok(Self {
            title,
            by: GroupBy::default(),
            sort: SortBy::default(),
            is_paused: false,
            offset: 0,
            warning: None,
            family: None,
            text: filter.to_owned(),
            filter: parse(filter)?,
            input: None,
        })
    }

    /// Returns the flows to show.
    #[must_use]
    pub fn filter(&self) -> Filter {
        match self.family {
            Some(family) => self.filter.clone() & Filter::family(family),
            None => self.filter.clone(),
        }
    }

    /// Returns the text of the filter.
    #[must_use]
    pub fn filter_text(&self) -> &str {
        &self.text
    }

    /// Returns the family that is shown, if it is only one.
    #[must_use]
    pub const fn family(&self) -> Option<Family> {
        self.family
    }

    /// Returns the filter that is being typed, and the error in it.
    #[must_use]
    pub fn input(&self) -> Option<(&str, Option<&str>)> {
        let input = self.input.as_ref()?;
        Some((&input.text, input.parsed.as_ref().err().map(String::as_str)))
    }

    /// Reacts to a key.
    pub fn press(&mut self, key: KeyEvent) -> Reaction {
        if key.kind == KeyEventKind::Release {
            return Reaction::Stay;
        }
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => Reaction::Quit,
            code if self.input.is_some() => self.type_filter(code, is_control),
            code => self.command(code),
        }
    }

    fn command(&mut self, code: KeyCode) -> Reaction {
        match code {
            KeyCode::Char('q') => return Reaction::Quit,
            KeyCode::Char(digit @ '1'..='4') => {
                let index = digit as usize - '1' as usize;
                self.by = GroupBy::ALL.get(index).copied().unwrap_or_default();
            }
            KeyCode::Tab => {
                let index = GroupBy::ALL.iter().position(|by| *by == self.by).unwrap_or(0);
                self.by = GroupBy::ALL.into_iter().cycle().nth(index + 1).unwrap_or_default();
            }
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('v') => {
                self.family = match self.family {
                    None => Some(Family::IPV4),
                    Some(Family::IPV4) => Some(Family::IPV6),
                    Some(_) => None,
                };
                self.offset = 0;
                return Reaction::Choose;
            }
            KeyCode::Char('f' | '/') => {
                self.input = Some(Input::new(self.text.clone()));
                return Reaction::Stay;
            }
            KeyCode::Char('p' | ' ') => {
                self.is_paused = !self.is_paused;
                return Reaction::Pause;
            }
            KeyCode::Down | KeyCode::Char('j') => return self.scroll(1),
            KeyCode::Up | KeyCode::Char('k') => return self.scroll(-1),
            KeyCode::PageDown => return self.scroll(10),
            KeyCode::PageUp => return self.scroll(-10),
            KeyCode::Home => return self.scroll(isize::MIN),
            _ => return Reaction::Stay,
        }
        self.offset = 0;
        Reaction::Arrange
    }

    const fn scroll(&mut self, rows: isize) -> Reaction {
        self.offset = self.offset.saturating_add_signed(rows);
        Reaction::Stay
    }

    /// The error of a wrong filter is shown while it is typed; it cannot be applied.
    fn type_filter(&mut self, code: KeyCode, is_control: bool) -> Reaction {
        let Some(input) = &mut self.input else { return Reaction::Stay };
        match code {
            KeyCode::Esc => self.input = None,
            KeyCode::Enter => {
                if let Ok(filter) = &input.parsed {
                    (self.filter, self.text) = (filter.clone(), input.text.trim().to_owned());
                    (self.input, self.offset) = (None, 0);
                    return Reaction::Choose;
                }
            }
            KeyCode::Backspace => {
                input.text.pop();
                *input = Input::new(core::mem::take(&mut input.text));
            }
            KeyCode::Char('u') if is_control => *input = Input::new(String::new()),
            KeyCode::Char(character) if !is_control => {
                input.text.push(character);
                *input = Input::new(core::mem::take(&mut input.text));
            }
            _ => {}
        }
        Reaction::Stay
    }
}
