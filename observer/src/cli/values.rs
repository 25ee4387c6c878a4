//! Values of options.

use std::time::Duration;

use clap::ValueEnum;

/// The hook that counts ingress of underlay devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IngressHook {
    /// TC: sees what the kernel sees, works everywhere
    Tc,
    /// XDP, native mode: ahead of the kernel; some drivers reset the link when a program is attached
    Xdp,
}

/// Parses a time in seconds, with fractions.
///
/// # Errors
/// The text is not a number, or out of range.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .strip_suffix('s')
        .unwrap_or(text)
        .parse()
        .map_err(|_| "expected a number of seconds such as 1, 0.5 or 10s".to_owned())?;
    if !(0.1..=86_400.0).contains(&number) {
        return Err("expected 0.1 to 86400 seconds".to_owned());
    }
    Ok(Duration::from_secs_f64(number))
}

/// Parses a playback speed.
pub(super) fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(factor) if (0.01..=10_000.0).contains(&factor) => Ok(factor),
        _ => Err("expected a factor from 0.01 to 10000".to_owned()),
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
