//! The prose of a file: comments and string literals of Rust, everything of other files.

/// Stands for what no phrase may reach across: code between two strings, the end of a paragraph.
const WALL: char = '\u{1}';

/// Prose in lower case, with one space for every gap, so that phrases are found across line breaks.
pub struct Prose {
    /// The text.
    pub text: String,
    /// The line of the file, from 1, at each byte of the text.
    lines: Vec<usize>,
}

impl Prose {
    /// The prose of a file.
    pub fn of(path: &str, text: &str) -> Self {
        let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
        match extension {
            "rs" => Self::gather(&rust(text), false),
            // Each line is a row: the next one continues nothing.
            "txt" | "csv" | "json" | "lock" => Self::gather(text, true),
            _ => Self::gather(text, false),
        }
    }

    /// The line at a byte of the text.
    pub fn line(&self, at: usize) -> usize {
        self.lines.get(at).copied().unwrap_or(1)
    }

    fn gather(text: &str, rows: bool) -> Self {
        let mut prose = Self { text: String::new(), lines: Vec::new() };
        for (line, content) in text.lines().enumerate() {
            let content = content.trim_start().trim_start_matches(['/', '#', '!', '*', '>']).trim();
            let end = if rows || content.is_empty() { WALL } else { ' ' };
            for c in content.chars().chain([end]) {
                prose.push(c, line + 1);
            }
        }
        prose
    }

    fn push(&mut self, c: char, line: usize) {
        let gap = c.is_whitespace();
        if gap && self.text.ends_with([' ', WALL]) {
            return;
        }
        self.text.push(if gap { ' ' } else { c.to_ascii_lowercase() });
        self.lines.resize(self.text.len(), line);
    }
}

/// A Rust file of which only comments and the content of literals are left; code is walls.
fn rust(text: &str) -> String {
    let mut left = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (kind, length) = token(rest);
        let (token, after) = rest.split_at(length);
        match kind {
            Kind::Comment => left.push_str(token.trim_start_matches(['/', '!', '*'])),
            Kind::String => string(token, &mut left),
            Kind::Code => left.extend(token.chars().map(|c| if c.is_whitespace() { c } else { WALL })),
        }
        rest = after;
    }
    left
}

/// The content of a string literal; escapes of white space are walls, a continued line is not.
fn string(token: &str, left: &mut String) {
    left.push(WALL);
    let mut chars = token.chars().peekable();
    let raw = token.starts_with(['r']) || token.starts_with("br");
    while let Some(c) = chars.next() {
        match c {
            '\\' if !raw => match chars.peek() {
                Some('\n') => left.push(' '),
                Some('n' | 't' | 'r') => {
                    chars.next();
                    left.push(WALL);
                }
                _ => {}
            },
            c => left.push(c),
        }
    }
    left.push(WALL);
}

enum Kind {
    Comment,
    String,
    Code,
}

/// What begins at the start of `text`, and its length in bytes.
fn token(text: &str) -> (Kind, usize) {
    let first = text.chars().next().map_or(1, char::len_utf8);
    if text.starts_with("//") {
        return (Kind::Comment, text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return (Kind::Comment, block(text));
    }
    if text.starts_with('\'') {
        return (Kind::Code, character(text));
    }
    if text.starts_with(|c: char| c.is_alphabetic() || c == '_') {
        let word = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        let after = &text[word..];
        return match &text[..word] {
            "r" | "br" | "cr"
                if after.starts_with('"') || after.starts_with("#\"") || after.starts_with("##") =>
            {
                (Kind::String, word + raw(after))
            }
            "b" | "c" if after.starts_with('"') => (Kind::String, word + quoted(after)),
            _ => (Kind::Code, word),
        };
    }
    if text.starts_with('"') {
        return (Kind::String, quoted(text));
    }
    (Kind::Code, first)
}

/// The length of a comment that may contain others.
fn block(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of a character literal, or of the quote that begins a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((escaped, c))) => {
            let from = escaped + c.len_utf8();
            text[from..].find('\'').map_or(text.len(), |end| from + end + 1)
        }
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1,
    }
}

/// The length of a literal from its first quote to its last.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a raw literal from its first `#` or quote.
fn raw(text: &str) -> usize {
    let hashes = text.find(|c| c != '#').unwrap_or(text.len());
    let end = format!("\"{}", "#".repeat(hashes));
    let content = hashes + 1;
    text.get(content..)
        .and_then(|rest| rest.find(&end))
        .map_or(text.len(), |found| content + found + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_comments_and_strings_of_rust_are_prose() {
        let text = r####"
fn code<'a>(x: &'a str) -> char { '"' } // A comment
/// of two
/// lines.
const A: &str = "one \
    string" ;
const B: &str = r#"raw "quoted" \n"#; /* a /* nested */ block */
const C: &[u8] = b"bytes\tand \"more\"";
"####;
        let prose = Prose::of("a.rs", text);
        let parts: Vec<&str> =
            prose.text.split(WALL).map(str::trim).filter(|part| !part.is_empty()).collect();
        let expected = [
            "a comment of two lines.",
            "\"one string\"",
            "r#\"raw \"quoted\" \\n\"#",
            "a /* nested */ block */",
        ];
        assert_eq!(parts[..4], expected);
        assert_eq!(parts[4..], ["b\"bytes", "and \"more\"\""]);
        assert_eq!(prose.text.find("lines").map(|at| prose.line(at)), Some(4));
    }

    #[test]
    fn paragraphs_end_at_blank_lines_and_rows_at_each() {
        assert_eq!(Prose::of("a.md", "One\ntwo.\n\nThree\n").text, "one two. \u{1}three ");
        assert_eq!(Prose::of("a.txt", "one\ntwo\n").text, "one\u{1}two\u{1}");
        assert_eq!(Prose::of("a.yaml", "# one\n# two\n").text, "one two ");
    }
}
