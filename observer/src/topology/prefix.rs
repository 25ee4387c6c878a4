//! Address prefixes as people write them.

use std::net::IpAddr;

/// An address and a prefix length.
pub type Prefix = (IpAddr, u8);

/// Parses a prefix such as `10.244.0.0/16`.
///
/// # Errors
/// The text is not a prefix.
pub fn prefix(text: &str) -> Result<Prefix, String> {
    let wrong = || format!("`{text}` is not a prefix such as 10.244.0.0/16");
    let (address, length) = text.split_once('/').ok_or_else(wrong)?;
    let (address, length): (IpAddr, u8) =
        (address.parse().map_err(|_| wrong())?, length.parse().map_err(|_| wrong())?);
    let most = if address.is_ipv4() { 32 } else { 128 };
    if length > most { Err(wrong()) } else { Ok((address, length)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_needs_an_address_and_a_length_of_its_family() {
        assert_eq!(prefix("10.244.0.0/16"), Ok(("10.244.0.0".parse().expect("address"), 16)));
        assert!(prefix("10.244.0.0/33").is_err() && prefix("10.244.0.0").is_err());
    }
}
