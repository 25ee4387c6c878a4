//! What not to write, and what to write instead.

/// A row of the table.
pub struct Phrase {
    /// What is wrong. Prose is searched in lower case, with single spaces; names as they stand.
    pub pattern: &'static str,
    /// What to write.
    pub instead: &'static str,
    /// A match that contains one of these is right.
    pub unless: &'static [&'static str],
}

const fn row(pattern: &'static str, instead: &'static str) -> Phrase {
    Phrase { pattern, instead, unless: &[] }
}

const fn row_unless(pattern: &'static str, instead: &'static str, unless: &'static [&'static str]) -> Phrase {
    Phrase { pattern, instead, unless }
}

/// Phrases of prose: always wrong here, whatever the sentence.
pub const PHRASES: &[Phrase] = &[
    // Translated idioms.
    row(r"\bheld (it |them |each |both )?against\b", "compared with"),
    row(r"\bhold(s|ing)? (it |them |each |both |packets? )?against\b", "compare with"),
    row(r"\banew\b", "again, or: recreate"),
    row(r"\bfor ever\b", "permanently"),
    row(r"\bagain and again\b", "repeatedly"),
    row(r"\bof (its|their|our|your|his|one's) own\b", "its own X, or: separate"),
    row(r"\bby (itself|themselves)\b", "automatically, or: alone"),
    row(r"\bso many\b", "the number, or: N"),
    row(r"\bas many as\b", "up to, or: the number"),
    row(r"\bin hand\b", "current, or: available"),
    row(r"\bat work\b", "running, or: active"),
    row(r"\bput right\b", "fixed"),
    row(r"\bmend(s|ed|ing)\b", "fixes, fixed"),
    row(r"\bhurts?\b", "affected, problematic, or: name the kinds"),
    row(r"\b(keep|keeps|kept|keeping|holds|held) back\b", "rate-limited, or: suppressed"),
    row(r"\binvented (senders?|sources?|addresses)\b", "spoofed sources"),
    row(r"\bthe present (mode|state|kernel|value|encapsulation|mtu|one)s?\b", "the current"),
    row(r"\bof now\b", "current"),
    row(r"\b(where|there|here)(of|by|in|upon)\b", "two sentences"),
    row(r"\bbesides[.;:)]", "also, or: in addition"),
    row(r"\bin so far\b", "if, or: as far as"),
    row(r"\bprograms? (behind|before)\b", "after, or: ahead of"),
    // "A is no B"; "there is no B" is English.
    row_unless(
        r"\b[a-z'`)]+ (is|are|was|were) no [a-z]+\b",
        "is not a",
        &[
            "there is",
            "there are",
            "there was",
            "there were",
            "no longer",
            "no more",
            "no less",
            "no better",
            "no worse",
            "no different",
            "no matter",
            "no one",
            "no greater",
            "no smaller",
            "no larger",
            "no slower",
            "no faster",
            "no later",
            "no earlier",
            "no higher",
            "no lower",
        ],
    ),
    row(
        r"\bstands? (in|at|beside|besides|behind|before|on|under|there|next|far)\b",
        "is in, is at, is next to",
    ),
    row(r"\bstood (in|at|beside|behind|before|on|there|so|as)\b", "was in, was at"),
    // Programs do not speak, listen or know.
    row_unless(r"\btold( apart)?\b", "reported, or: shown", &["told apart"]),
    row(r"\btells? of\b", "reports"),
    row(r"\bheard\b", "received"),
    row(
        r"\b(observer|programs?|kernels?|files?|counters?|packets?|exporters?|routes?|headers?|devices?|maps?|hooks?|doctor|felix|calico|prometheus) (says?|said|tells?|knows?|knew)\b",
        "prints, reports, has, or: records",
    ),
    row(r"\bask(s|ed|ing)? (the )?(kernel|programs?|devices?|maps?)\b", "query, or: read from"),
    // Words that must be learnt before they can be read.
    row(r"\bforeign[ -](peer|vni|sender|packet|node)s?\b", "unknown peer, unknown VNI"),
    row(r"\btoo big (signal|message)s?\b", "PTB message"),
    row(r"\b(the|its|their) books\b", "registry, or: saved state"),
    row(r"\bledgers?\b", "block attribution"),
    row(r"\byardsticks?\b", "baseline"),
    row(r"\btroubles\b", "errors"),
    row(r"\busual (shape|packet)s?\b", "common shape, or: fast path"),
];

/// Names that were given up, wherever they stand: code, prose, and names of files.
pub const NAMES: &[Phrase] = &[
    row(r"(?i)strangers?", "unknown peer"),
    row(r"(?i)[a-z_]*price[a-z_]*", "cost"),
    row(r"(?i)foreign_(peer|vni|sender)s?", "unknown_peer, unknown_vni"),
    row(r"Foreign(Peer|Vni|Sender)s?", "UnknownPeer, UnknownVni"),
    // A packet may be too big; the message about it is a PTB message.
    row(r"[A-Za-z]*[Tt]oo-big", "PTB (packet too big)"),
    row(r"\bTOO BIG\b", "PTB"),
    row(r"too_big_?(signal|mtu|icmp|v?4|v?6|per_second|inner|at\b)[a-z0-9_]*", "ptb"),
    row(r"TooBig(Signal|Mtu|V4|V6|Storm)[A-Za-z]*", "Ptb"),
    row(r"\bobserver_[a-z_]*too_big[a-z_]*", "observer_ptb_messages_total, observer_path_ptb_messages_total"),
    row(r"--own\b", "--attach"),
    row(r"\bOBSERVER_OWN\b", "OBSERVER_ATTACH"),
    row(r"\bobserver_encapsulation_", "observer_encap_cost_"),
    row(r"\bobserver_(peer_)?wire_tcp_round_trip", "observer_hook_rtt, observer_peer_hook_rtt"),
    row(r"\bobserver-(stat|recording|compare|doctor|trace|cluster|pcap)/1\b", "version 2 of the schema"),
    row(r"\bIN_HAND\b", "OBSERVATION"),
    row(r"\bTOLD\b", "TRACE_BUF"),
    row(r"\bTold\b", "TracedPacket"),
    row(r"\bWANTED\b", "TRACE_CONFIG"),
    row(r"\bKept[A-Z][a-z]*\b", "SavedX"),
    row(r"\bPATH_USUAL\b", "PATH_HOT"),
    row(r"\bPATH_RARE\b", "PATH_COLD"),
    row(r"\bJudge\b", "ReadOnlyTables"),
    row(r"\bBooks\b", "Registry"),
    row(r"\bLedger\b", "BlockAttribution"),
    row(r"\bcare_until\b", "run_until"),
    row(r"\bBesideArgs\b", "SourceArgs"),
    row(r"\byardsticks\b", "baselines"),
];
