//! Styles: the terminal's own palette, and of it only the two colours that are readable on dark and on light
//! (cyan, green and yellow are not on white, blue is not on black). Colour is for what needs a look, and bold
//! stands beside it, so that nothing is said by colour alone.

use ratatui::style::{Color, Modifier, Style};

use crate::view::grid::Tone;

/// The styles, with or without colour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    colour: bool,
}

impl Theme {
    pub(super) const fn new(colour: bool) -> Self {
        Self { colour }
    }

    fn coloured(self, style: Style, colour: Color) -> Style {
        if self.colour { style.fg(colour) } else { style }
    }

    /// Titles of sections.
    pub(super) fn title(self, focused: bool) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        if focused { style.add_modifier(Modifier::UNDERLINED) } else { style }
    }

    /// Names and figures that matter most.
    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What may be overlooked.
    pub(super) fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// Keys in the footer, the open tab.
    pub(super) fn reverse(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A cell's tone.
    pub(super) fn tone(self, tone: Tone) -> Style {
        let strong = self.strong();
        match tone {
            Tone::Plain => Style::new(),
            Tone::Notice => self.coloured(strong, Color::Magenta),
            Tone::Alarm => self.coloured(strong, Color::Red),
        }
    }
}
