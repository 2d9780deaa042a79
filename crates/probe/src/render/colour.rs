//! Colour, only where it carries meaning and never alone: whatever is coloured also says it in
//! words or by its place.

use std::fmt::Display;

/// What may be drawn on one output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Escape sequences for colour.
    pub colour: bool,
    /// Characters beyond ASCII for bars and curves.
    pub blocks: bool,
}

/// What a colour stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// As it should be.
    Good,
    /// Worth a look.
    Notice,
    /// Failed, or at fault.
    Bad,
    /// There if one looks for it.
    Faint,
    /// A heading.
    Strong,
}

/// When colour is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
#[expect(missing_docs, reason = "the help would print it")]
pub enum When {
    // On a terminal that can, unless NO_COLOR is set.
    #[default]
    Auto,
    // Also into a file or a pipe.
    Always,
    // Never.
    Never,
}

/// What the surroundings say about an output.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The output is a terminal.
    pub terminal: bool,
    /// `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// `TERM`.
    pub term: Option<&'a str>,
}

impl Style {
    /// No colour, block characters: what a pipe gets.
    #[cfg(test)]
    pub const PLAIN: Self = Self { colour: false, blocks: true };

    /// Decides what may be drawn.
    pub fn choose(when: When, on: Surroundings<'_>) -> Self {
        let dumb = on.term == Some("dumb");
        let colour = match when {
            When::Always => true,
            When::Never => false,
            When::Auto => on.terminal && !on.no_color && !dumb,
        };
        Self { colour, blocks: !dumb }
    }

    /// Paints a text where colour is allowed.
    pub fn paint(self, ink: Ink, text: impl Display) -> String {
        if !self.colour {
            return text.to_string();
        }
        let code = match ink {
            Ink::Good => "32",
            Ink::Notice => "33",
            Ink::Bad => "31",
            Ink::Faint => "2",
            Ink::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMINAL: Surroundings<'_> =
        Surroundings { terminal: true, no_color: false, term: Some("xterm") };

    #[test]
    fn colour_needs_a_terminal_that_wants_it() {
        let auto = |on| Style::choose(When::Auto, on).colour;
        assert!(auto(TERMINAL));
        assert!(!auto(Surroundings { terminal: false, ..TERMINAL }));
        assert!(!auto(Surroundings { no_color: true, ..TERMINAL }));
        assert!(!auto(Surroundings { term: Some("dumb"), ..TERMINAL }));
    }

    #[test]
    fn the_flag_stands_over_the_surroundings() {
        let pipe = Surroundings { terminal: false, no_color: true, term: None };
        assert!(Style::choose(When::Always, pipe).colour);
        assert!(!Style::choose(When::Never, TERMINAL).colour);
    }

    #[test]
    fn plain_text_stays_as_it_is() {
        assert_eq!(Style::PLAIN.paint(Ink::Bad, "x"), "x");
        let style = Style { colour: true, ..Style::PLAIN };
        assert_eq!(style.paint(Ink::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
