//! Counts of passed, failed and skipped tests, read from what libtest prints.

/// The result of tests or of steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Tests and steps that passed.
    pub passed: u64,
    /// Tests and steps that failed.
    pub failed: u64,
    /// What was skipped, each with its reason.
    pub skipped: Vec<String>,
}

impl Tally {
    /// A step that passed.
    pub fn step() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    /// A step that was not run.
    pub fn skip(what: &str, reason: &str) -> Self {
        Self { skipped: vec![format!("{what}: {reason}")], ..Self::default() }
    }

    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
    }

    /// The same, with the kernel's series before each skip.
    pub fn on(mut self, series: &str) -> Self {
        self.skipped.iter_mut().for_each(|skipped| *skipped = format!("[{series}] {skipped}"));
        self
    }

    /// `N passed, N failed, N skipped`.
    pub fn summary(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped.len())
    }
}

/// Reads the output of a test program line by line.
#[derive(Debug, Default)]
pub struct Reader {
    tally: Tally,
    current: String,
    skipped: Vec<String>,
}

impl Reader {
    /// Takes the next line.
    pub fn line(&mut self, line: &str) {
        let mut line = line;
        if let Some((test, rest)) = line.strip_prefix("test ").and_then(|test| test.split_once(" ... ")) {
            (self.current, line) = (test.to_owned(), rest);
        }
        if let Some(skip) = line.strip_prefix("SKIPPED") {
            let (test, reason) = skip.split_once(": ").unwrap_or((skip, "no reason"));
            let test = if test.trim().is_empty() { self.current.as_str() } else { test.trim() };
            let skip = format!("{test}: {reason}");
            // A test may lack the same thing in several places.
            if !self.skipped.iter().any(|found| found.split(": ").next() == Some(test)) {
                self.skipped.push(skip);
            }
        } else if let Some(result) = line.strip_prefix("test result: ") {
            let count = |word: &str| {
                let part = result.split([';', '.']).find_map(|part| part.trim().strip_suffix(word));
                part.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0)
            };
            let skipped = self.skipped.len() as u64;
            self.tally.passed += count(" passed").saturating_sub(skipped);
            self.tally.failed += count(" failed");
            self.tally.skipped.append(&mut self.skipped);
        }
    }

    /// The counts so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_tests_do_not_count_as_passed() {
        let mut reader = Reader::default();
        for line in [
            "running 4 tests",
            "test a::one ... ok",
            "test a::two ... SKIPPED: no ipip in this kernel",
            "SKIPPED: no ipip in this kernel",
            "ok",
            "SKIPPED a::three: promtool is not installed; `cargo xtask setup` installs it",
            "test a::three ... ok",
            "test a::four ... FAILED",
            "test result: FAILED. 3 passed; 1 failed; 7 ignored; 0 measured; 2 filtered out; finished in 0.01s",
            "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        ] {
            reader.line(line);
        }
        let tally = reader.tally();
        assert_eq!((tally.passed, tally.failed), (3, 1));
        assert_eq!(tally.skipped[0], "a::two: no ipip in this kernel");
        assert_eq!(tally.skipped[1], "a::three: promtool is not installed; `cargo xtask setup` installs it");
        assert_eq!(tally.summary(), "3 passed, 1 failed, 2 skipped");
    }
}
