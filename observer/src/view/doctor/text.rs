//! Options, and wrapped text with labels.

use std::fmt::Write as _;

/// Options of the text.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Characters per line.
    pub width: usize,
    /// Use ANSI colours.
    pub colour: bool,
}

/// Writes a label and text, wrapped at `width` with a hanging indent.
pub(super) fn labelled(to: &mut String, label: &str, text: &str, indent: usize, width: usize) {
    let hang = indent + label.chars().count() + usize::from(!label.is_empty());
    let mut line = format!("{:indent$}{label}", "");
    let mut used = line.chars().count();
    let mut first = true;
    for word in text.split_whitespace() {
        let size = word.chars().count();
        let gap = usize::from(!(first && label.is_empty()));
        if !first && used + gap + size > width {
            let _ = writeln!(to, "{line}");
            line = format!("{:hang$}{word}", "");
            used = hang + size;
        } else {
            line.push_str(&" ".repeat(gap));
            line.push_str(word);
            used += gap + size;
        }
        first = false;
    }
    let _ = writeln!(to, "{}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_and_words_are_not_cut() {
        let mut text = String::new();
        labelled(&mut text, "why", "one two three four averyverylongword end", 2, 18);
        assert_eq!(text, "  why one two\n      three four\n      averyverylongword\n      end\n");
        let mut text = String::new();
        labelled(&mut text, "", "one two", 4, 80);
        assert_eq!(text, "    one two\n");
    }
}
