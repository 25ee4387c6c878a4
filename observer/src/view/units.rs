//! Numbers as text: short, with their unit, and never zero for a value that is unknown or small but not zero.

use std::time::Duration;

/// Shown for every figure that is unknown or was not measured.
pub const UNKNOWN: &str = "–";

const PREFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];

/// A number with an SI prefix and three digits, at most five characters: `0`, `845`, `1.23k`, `12.3M`.
#[must_use]
pub fn si(value: f64) -> String {
    let (number, prefix) = scaled(value);
    format!("{number}{prefix}")
}

/// The same with a unit: `1.23 kbit/s`, `0 bit/s`.
#[must_use]
pub fn si_unit(value: f64, unit: &str) -> String {
    let (number, prefix) = scaled(value);
    format!("{number} {prefix}{unit}")
}

/// A rate of bytes as bits per second: `12.3 Mbit/s`.
#[must_use]
pub fn bit_rate(bytes_per_second: f64) -> String {
    si_unit(bytes_per_second * 8.0, "bit/s")
}

/// A number of bytes: `1.50 kB`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(count: u64) -> String {
    si_unit(count as f64, "B")
}

/// A ratio in percent without the sign, for columns with `%` in their header: `3.45`.
#[must_use]
pub fn percent(ratio: Option<f64>) -> String {
    match ratio.map(|ratio| ratio * 100.0) {
        None => UNKNOWN.to_owned(),
        Some(percent) if !percent.is_finite() => UNKNOWN.to_owned(),
        Some(percent) if percent > 0.0 && percent < 0.005 => "<0.01".to_owned(),
        Some(percent) if percent < 99.995 => format!("{percent:.2}"),
        Some(percent) => format!("{percent:.0}"),
    }
}

/// A ratio with the sign: `3.45 %`, or `–`.
#[must_use]
pub fn ratio(ratio: Option<f64>) -> String {
    match ratio {
        Some(value) if value.is_finite() => format!("{} %", percent(ratio)),
        _ => UNKNOWN.to_owned(),
    }
}

/// A duration: `250 ms`, `1.0 s`, `3 min 20 s`, `2 h 05 min`, `4 d 03 h`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    // Timers may end a second a few milliseconds early.
    let duration =
        if (995..1_000).contains(&duration.as_millis()) { Duration::from_secs(1) } else { duration };
    let (seconds, millis) = (duration.as_secs(), duration.as_millis());
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// The time of day, UTC: `12:34:56Z`.
#[must_use]
pub fn time_of_day(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs() % 86_400;
    format!("{:02}:{:02}:{:02}Z", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// Untrusted text (device names, file names), safe to print on a terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn scaled(value: f64) -> (String, &'static str) {
    if !value.is_finite() || value < 0.0 {
        return (UNKNOWN.to_owned(), "");
    }
    if value > 0.0 && value < 0.005 {
        return ("<0.01".to_owned(), "");
    }
    let (mut value, mut step) = (value, 0);
    while value >= 999.5 && step + 1 < PREFIXES.len() {
        value /= 1_000.0;
        step += 1;
    }
    let whole = step == 0 && (value - value.round()).abs() < 1e-9;
    let digits = match value {
        _ if whole => 0,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    (format!("{value:.digits$}"), PREFIXES[step])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_prefix() {
        let cases = [
            (0.0, "0"),
            (0.001, "<0.01"),
            (0.2, "0.20"),
            (3.0, "3"),
            (9.996, "10.0"),
            (99.96, "100"),
            (999.4, "999"),
            (999.5, "1.00k"),
            (1_234.0, "1.23k"),
            (12_345.0, "12.3k"),
            (999_499.0, "999k"),
            (999_500.0, "1.00M"),
            (1e9, "1.00G"),
            (4.2e18, "4.20E"),
            (f64::NAN, "–"),
            (f64::INFINITY, "–"),
        ];
        for (value, text) in cases {
            assert_eq!(si(value), text, "{value}");
            assert!(si(value).chars().count() <= 5);
        }
    }

    #[test]
    fn units_follow_their_prefix() {
        assert_eq!(bit_rate(125_000_000.0), "1.00 Gbit/s");
        assert_eq!(bit_rate(0.0), "0 bit/s");
        assert_eq!(bytes(1_500), "1.50 kB");
        assert_eq!(bytes(999), "999 B");
    }

    #[test]
    fn a_ratio_of_nothing_is_unknown_and_a_small_ratio_is_not_zero() {
        assert_eq!(ratio(None), "–");
        assert_eq!(ratio(Some(f64::NAN)), "–");
        assert_eq!(ratio(Some(0.0)), "0.00 %");
        assert_eq!(ratio(Some(0.000_01)), "<0.01 %");
        assert_eq!(ratio(Some(0.034_5)), "3.45 %");
        assert_eq!(percent(Some(1.0)), "100");
    }

    #[test]
    fn durations_have_at_most_two_parts() {
        let cases = [
            (250, "250 ms"),
            (1_000, "1.0 s"),
            (59_990, "59.9 s"),
            (200_000, "3 min 20 s"),
            (7_500_000, "2 h 05 min"),
            (356_400_000, "4 d 03 h"),
        ];
        for (millis, text) in cases {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(time_of_day(Duration::from_secs(86_400 * 3 + 3_661)), "01:01:01Z");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("eth\u{1b}[2J0"), "eth?[2J0");
    }
}
