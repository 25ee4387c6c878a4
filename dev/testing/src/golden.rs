//! Golden files: outputs that are compared with a file of the repository.

use std::path::Path;

/// Compares `text` with the golden file at `path`; with `UPDATE_GOLDEN=1` it writes the file instead.
///
/// # Panics
/// They differ, or CI asks to write the file.
pub fn compare(path: &Path, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        assert!(std::env::var_os("CI").is_none(), "UPDATE_GOLDEN is refused because CI is set");
        std::fs::write(path, text).expect("write the golden file");
        return;
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    let name = path.display();
    assert!(expected == text, "{name} differs; UPDATE_GOLDEN=1 rewrites it. Output:\n{text}");
}
