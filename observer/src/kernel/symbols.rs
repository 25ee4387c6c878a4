//! The kernel's functions, from `/proc/kallsyms`.

use super::error::KernelError;

const KALLSYMS: &str = "/proc/kallsyms";
/// An address farther than this from the last function is not in a known function.
const LONGEST: u64 = 1 << 20;

/// Functions by address.
#[derive(Debug, Default)]
pub struct Symbols(Vec<(u64, Box<str>)>);

impl Symbols {
    /// Those of the running kernel.
    ///
    /// # Errors
    /// They cannot be read, or the kernel hides their addresses (`kernel.kptr_restrict`).
    pub fn running() -> Result<Self, KernelError> {
        let unusable = |cause: String| {
            KernelError::new(
                "read",
                KALLSYMS,
                cause,
                "set `kernel.kptr_restrict` to 1 or less, and run as root",
            )
        };
        let text = std::fs::read_to_string(KALLSYMS).map_err(|error| unusable(error.to_string()))?;
        let symbols = Self::parse(&text);
        if symbols.0.is_empty() {
            return Err(unusable("the kernel hides its addresses".to_owned()));
        }
        Ok(symbols)
    }

    /// Parses lines of `address type name [module]`, without functions whose address is hidden.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut symbols: Vec<(u64, Box<str>)> = text.lines().filter_map(line).collect();
        symbols.sort_by_key(|(address, _)| *address);
        Self(symbols)
    }

    /// The function that contains an address.
    #[must_use]
    pub fn at(&self, address: u64) -> Option<&str> {
        let next = self.0.partition_point(|(start, _)| *start <= address);
        let (start, name) = self.0.get(next.checked_sub(1)?)?;
        (address - start < LONGEST).then_some(name)
    }

    /// The code ranges of the functions that `wanted` selects; adjacent ones are merged.
    #[must_use]
    pub fn ranges(&self, wanted: impl Fn(&str) -> bool) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for (nth, (start, name)) in self.0.iter().enumerate() {
            if !wanted(name) {
                continue;
            }
            let next = self.0[nth..].iter().map(|(address, _)| *address).find(|address| address > start);
            let end = next.unwrap_or(u64::MAX).min(start + LONGEST);
            match ranges.last_mut() {
                Some((_, last)) if *last >= *start => *last = end.max(*last),
                _ => ranges.push((*start, end)),
            }
        }
        ranges
    }
}

fn line(line: &str) -> Option<(u64, Box<str>)> {
    let mut words = line.split_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let (kind, name) = (words.next()?, words.next()?);
    // `__pfx_…` is padding ahead of a function (CONFIG_FUNCTION_PADDING_CFI).
    let function = matches!(kind, "t" | "T" | "w" | "W") && !name.starts_with("__pfx_");
    (function && address != 0).then_some((address, name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "ffffffff81000300 t ip_forward_finish\nffffffff81000100 T ip_forward\n\
        ffffffff81000200 d some_data\nffffffff810002f0 t __pfx_ip_forward_finish\n\
        ffffffff81000400 T ip_send\nffffffffc0000000 t vxlan_xmit [vxlan]\n\
        0000000000000000 T hidden\n";

    #[test]
    fn addresses_are_resolved_to_functions() {
        let symbols = Symbols::parse(EXAMPLE);
        assert_eq!(symbols.at(0xffff_ffff_8100_0250), Some("ip_forward"));
        assert_eq!(symbols.at(0xffff_ffff_c000_0010), Some("vxlan_xmit"));
        assert_eq!(symbols.at(0xffff_ffff_9100_0010), None, "far after the last function");
        assert_eq!(symbols.at(0x1000), None);
    }

    #[test]
    fn adjacent_functions_form_one_range() {
        let symbols = Symbols::parse(EXAMPLE);
        let ranges = symbols.ranges(|name| name.starts_with("ip_forward") || name == "vxlan_xmit");
        assert_eq!(
            ranges,
            [(0xffff_ffff_8100_0100, 0xffff_ffff_8100_0400), (0xffff_ffff_c000_0000, 0xffff_ffff_c010_0000)]
        );
        assert!(symbols.ranges(|name| name == "hidden").is_empty());
    }
}
