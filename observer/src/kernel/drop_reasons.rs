//! The kernel's drop reasons. Their numbers differ between kernels, so they are identified by name.

use std::collections::BTreeMap;

use observer_common::drops::{REASONS, Reasons, with};

use super::btf::Btf;

/// The enum of the reasons, and the prefix of each name.
pub(super) const ENUM: &str = "skb_drop_reason";
pub(super) const PREFIX: &str = "SKB_DROP_REASON_";
/// Prefixes of reasons for drops at a socket: the packet had already reached its destination.
const AT_SOCKETS: [&str; 5] = ["NO_SOCKET", "SOCKET_", "TCP_", "PROTO_MEM", "UNIX_"];

/// The reasons for drops at sockets, which say nothing about the path.
pub(super) fn at_sockets(reasons: &BTreeMap<u32, String>) -> Reasons {
    let of = |name: &str| AT_SOCKETS.iter().any(|start| name.starts_with(start));
    let numbers = reasons.iter().filter(|(_, name)| of(name)).map(|(number, _)| *number);
    numbers.fold([0; REASONS / 64], with)
}

/// Names of the reasons by number; `None` on kernels without drop reasons.
pub(super) fn reasons(btf: &Btf) -> Option<BTreeMap<u32, String>> {
    btf.enumeration(ENUM).map(|reasons| by_number(&reasons))
}

/// Names without their prefix, by number.
pub(super) fn by_number(reasons: &[(String, u32)]) -> BTreeMap<u32, String> {
    reasons.iter().map(|(name, number)| (*number, short(name).to_owned())).collect()
}

/// A name without its prefix.
pub(super) fn short(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use observer_common::drops::has;

    #[test]
    fn socket_reasons_are_selected_by_prefix() {
        let names = [(3, "NO_SOCKET"), (6, "SOCKET_RCVBUFF"), (8, "NETFILTER_DROP"), (20, "TCP_OLD_DATA")];
        let names = names.map(|(number, name)| (number, name.to_owned()));
        let set = at_sockets(&names.into_iter().collect());
        assert!((0..REASONS as u32).filter(|number| has(&set, *number)).eq([3, 6, 20]));
    }
}
