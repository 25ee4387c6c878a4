//! Values of options.

use std::time::Duration;

use clap::ValueEnum;

/// Where an underlay's ingress is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IngressHook {
    /// At TC: sees what the kernel sees, works everywhere
    Tc,
    /// At XDP, native mode: before the kernel; some drivers reset the link when it is attached
    Xdp,
}

/// Reads a time in seconds, with fractions.
///
/// # Errors
/// What it should look like.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .strip_suffix('s')
        .unwrap_or(text)
        .parse()
        .map_err(|_| format!("`{text}` is no number of seconds such as 1, 0.5 or 10s"))?;
    if !(0.1..=86_400.0).contains(&number) {
        return Err(format!("`{text}` is not between 0.1 and 86400 seconds"));
    }
    Ok(Duration::from_secs_f64(number))
}

/// Reads how fast a recording is played.
pub(super) fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(factor) if (0.01..=10_000.0).contains(&factor) => Ok(factor),
        _ => Err(format!("`{text}` is no factor between 0.01 and 10000")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_bounded_and_may_have_a_fraction() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("10s"), Ok(Duration::from_secs(10)));
        assert!(seconds("0").is_err() && seconds("-1").is_err() && seconds("nan").is_err());
    }
}
