//! Why a topology could not be derived.

/// Why a topology could not be derived.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// A device was named that does not exist.
    #[error(
        "cannot watch device `{name}`: this network namespace has no device of that name; {}",
        remedy(.existing)
    )]
    UnknownDevice {
        /// The name that was given.
        name: String,
        /// The devices that exist, the nearest name first.
        existing: Vec<String>,
    },
}

/// Devices that the remedy names at most.
const NAMED: usize = 8;

fn remedy(existing: &[String]) -> String {
    let named: Vec<&str> = existing.iter().take(NAMED).map(String::as_str).collect();
    match existing.len().saturating_sub(NAMED) {
        _ if named.is_empty() => "it has no devices at all: run Observer in the node's namespace".to_owned(),
        0 => format!("name one of: {}", named.join(", ")),
        more => format!("name one of: {} (and {more} more, see `ip link`)", named.join(", ")),
    }
}

impl TopologyError {
    /// The error for `name` where only `existing` are there.
    pub(super) fn unknown_device<'a>(name: &str, existing: impl Iterator<Item = &'a str>) -> Self {
        let mut existing: Vec<String> = existing.map(str::to_owned).collect();
        existing.sort_by_cached_key(|other| (distance(name, other), other.clone()));
        Self::UnknownDevice { name: name.to_owned(), existing }
    }
}

/// Insertions, deletions and replacements of bytes between two names (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_comes_first() {
        let error = TopologyError::unknown_device("ethO", ["lo", "tunl0", "eth0", "eth1"].into_iter());
        let TopologyError::UnknownDevice { existing, .. } = &error;
        assert_eq!(existing, &["eth0", "eth1", "lo", "tunl0"]);
        assert_eq!(
            error.to_string(),
            "cannot watch device `ethO`: this network namespace has no device of that name; name one of: \
             eth0, eth1, lo, tunl0"
        );
    }

    #[test]
    fn distances_are_levenshtein() {
        for (a, b, expected) in [("", "", 0), ("", "lo", 2), ("eth0", "eth0", 0), ("etho0", "eth0", 1)] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
