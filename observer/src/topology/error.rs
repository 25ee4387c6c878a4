//! Errors of deriving a topology.

/// Why a topology could not be derived.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// A chosen device does not exist.
    #[error(
        "cannot watch device `{name}`: it does not exist in this network namespace; {}",
        remedy(.existing)
    )]
    UnknownDevice {
        /// The given name.
        name: String,
        /// The existing devices, most similar name first.
        existing: Vec<String>,
    },
}

/// Maximum number of devices in the remedy.
const NAMED: usize = 8;

fn remedy(existing: &[String]) -> String {
    let named: Vec<&str> = existing.iter().take(NAMED).map(String::as_str).collect();
    match existing.len().saturating_sub(NAMED) {
        _ if named.is_empty() => "run Observer in the node's network namespace".to_owned(),
        0 => format!("choose from: {}", named.join(", ")),
        more => format!("choose from: {} and {more} more (see `ip link`)", named.join(", ")),
    }
}

impl TopologyError {
    pub(super) fn unknown_device<'a>(name: &str, existing: impl Iterator<Item = &'a str>) -> Self {
        let mut existing: Vec<String> = existing.map(str::to_owned).collect();
        existing.sort_by_cached_key(|other| (distance(name, other), other.clone()));
        Self::UnknownDevice { name: name.to_owned(), existing }
    }
}

/// The Levenshtein distance of two names, in bytes.
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
    fn the_most_similar_name_comes_first() {
        let error = TopologyError::unknown_device("ethO", ["lo", "tunl0", "eth0", "eth1"].into_iter());
        let TopologyError::UnknownDevice { existing, .. } = &error;
        assert_eq!(existing, &["eth0", "eth1", "lo", "tunl0"]);
        assert_eq!(
            error.to_string(),
            "cannot watch device `ethO`: it does not exist in this network namespace; choose from: eth0, eth1, \
             lo, tunl0"
        );
    }

    #[test]
    fn distance_is_levenshtein() {
        for (a, b, expected) in [("", "", 0), ("", "lo", 2), ("eth0", "eth0", 0), ("etho0", "eth0", 1)] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
