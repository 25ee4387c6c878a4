//! Styles. Of the terminal's palette, only magenta and red are readable on dark and on light backgrounds (cyan, green
//! and yellow are not on white, blue is not on black). Colour marks what needs attention, always together with bold.

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

    /// Less important text.
    pub(super) fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// Keys in the footer, the open tab.
    pub(super) fn reverse(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The style of a tone.
    pub(super) fn tone(self, tone: Tone) -> Style {
        let strong = self.strong();
        match tone {
            Tone::Plain => Style::new(),
            Tone::Notice => self.coloured(strong, Color::Magenta),
            Tone::Alarm => self.coloured(strong, Color::Red),
        }
    }
}
