//! Filter expressions, in tcpdump's style: `host 10.10.2.13 and not port 179`.

use std::net::IpAddr;

use observer_common::packet::ipproto;

/// Maximum nesting of parentheses and negations.
const DEPTH: u32 = 32;

/// Which of the two IP headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Either.
    Any,
    /// The first one on the wire.
    Outer,
    /// The one of the tunnelled packet.
    Inner,
}

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Either.
    Any,
    /// The sender.
    Source,
    /// The receiver.
    Destination,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// An address is in a prefix.
    Net(Layer, End, IpAddr, u8),
    /// A port.
    Port(Layer, End, u16),
    /// An IP protocol.
    Protocol(Layer, u8),
    /// The peer node.
    Peer(IpAddr),
    /// The device.
    Device(String),
    /// The VNI.
    Vni(u32),
    /// The IP id.
    Id(Layer, u32),
    /// The L3 size is greater (false: less) than this, in bytes.
    Size(bool, u32),
    /// The direction: ingress or egress.
    Ingress(bool),
}

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// One comparison.
    Is(Term),
    /// The opposite.
    Not(Box<Self>),
    /// Both.
    And(Box<Self>, Box<Self>),
    /// At least one.
    Or(Box<Self>, Box<Self>),
}

/// A filter that cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot parse the filter at `{at}`: {what}")]
pub struct FilterError {
    /// The word.
    pub at: String,
    /// What was expected.
    pub what: String,
}

fn wrong<T>(at: &str, what: &str) -> Result<T, FilterError> {
    Err(FilterError { at: at.to_owned(), what: what.to_owned() })
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    /// The wrong word, and what was expected instead.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let mut spaced = text.to_owned();
        for sign in ["(", ")", "!", "&&", "||"] {
            spaced = spaced.replace(sign, &format!(" {sign} "));
        }
        let mut words = Words { words: spaced.split_whitespace().collect(), next: 0, depth: 0 };
        let expression = words.or()?;
        match words.peek() {
            "" => Ok(expression),
            word => wrong(word, "expected `and`, `or` or the end of the filter"),
        }
    }
}

struct Words<'a> {
    words: Vec<&'a str>,
    next: usize,
    depth: u32,
}

impl<'a> Words<'a> {
    fn peek(&self) -> &'a str {
        self.words.get(self.next).copied().unwrap_or("")
    }

    fn take(&mut self) -> &'a str {
        let word = self.peek();
        self.next += 1;
        word
    }

    fn skip(&mut self, wanted: &[&str]) -> bool {
        let found = wanted.contains(&self.peek());
        self.next += usize::from(found);
        found
    }

    fn or(&mut self) -> Result<Expression, FilterError> {
        let mut left = self.and()?;
        while self.skip(&["or", "||"]) {
            left = Expression::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expression, FilterError> {
        let mut left = self.not()?;
        while self.skip(&["and", "&&"]) {
            left = Expression::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expression, FilterError> {
        self.depth += 1;
        if self.depth > DEPTH {
            return wrong(self.peek(), "parentheses or negations are nested too deeply");
        }
        let expression = if self.skip(&["not", "!"]) {
            Expression::Not(Box::new(self.not()?))
        } else if self.skip(&["("]) {
            let inner = self.or()?;
            if !self.skip(&[")"]) {
                return wrong(self.peek(), "expected `)`");
            }
            inner
        } else {
            Expression::Is(self.term()?)
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn term(&mut self) -> Result<Term, FilterError> {
        let layer = match self.peek() {
            "outer" => Layer::Outer,
            "inner" => Layer::Inner,
            _ => Layer::Any,
        };
        self.next += usize::from(layer != Layer::Any);
        let end = match self.peek() {
            "src" => End::Source,
            "dst" => End::Destination,
            _ => End::Any,
        };
        self.next += usize::from(end != End::Any);
        let word = self.take();
        match word {
            "host" => self.address().map(|a| Term::Net(layer, end, a, if a.is_ipv4() { 32 } else { 128 })),
            "net" => self.net().map(|(address, length)| Term::Net(layer, end, address, length)),
            "port" => self.number("a port").map(|port| Term::Port(layer, end, port)),
            _ if end != End::Any => wrong(word, "expected `host`, `net` or `port`"),
            "proto" => self.protocol().map(|protocol| Term::Protocol(layer, protocol)),
            "tcp" => Ok(Term::Protocol(layer, ipproto::TCP)),
            "udp" => Ok(Term::Protocol(layer, ipproto::UDP)),
            "icmp" => Ok(Term::Protocol(layer, ipproto::ICMP)),
            "icmp6" => Ok(Term::Protocol(layer, ipproto::ICMPV6)),
            "ip.id" | "id" => {
                let _ = self.skip(&["=", "=="]);
                self.number("an IP id").map(|id| Term::Id(layer, id))
            }
            _ if layer != Layer::Any => {
                wrong(word, "expected `host`, `net`, `port`, `proto` or `ip.id` after `outer` or `inner`")
            }
            "peer" => self.address().map(Term::Peer),
            "dev" => match self.take() {
                "" => wrong("", "expected a device name after `dev`"),
                name => Ok(Term::Device(name.to_owned())),
            },
            "vni" => self.number("a VNI").map(Term::Vni),
            "greater" => self.number("a size in bytes").map(|size| Term::Size(true, size)),
            "less" => self.number("a size in bytes").map(|size| Term::Size(false, size)),
            "ingress" => Ok(Term::Ingress(true)),
            "egress" => Ok(Term::Ingress(false)),
            "" => wrong("", "expected an expression"),
            _ => wrong(
                word,
                "expected host, net, port, proto, peer, dev, vni, ip.id, greater, less, ingress, egress, tcp, udp or icmp",
            ),
        }
    }

    fn address(&mut self) -> Result<IpAddr, FilterError> {
        let word = self.take();
        word.parse().or_else(|_| wrong(word, "expected an IP address (names are not looked up)"))
    }

    fn net(&mut self) -> Result<(IpAddr, u8), FilterError> {
        let word = self.take();
        crate::topology::prefix(word).or_else(|what| wrong(word, &what))
    }

    fn protocol(&mut self) -> Result<u8, FilterError> {
        match self.peek() {
            "tcp" | "udp" | "icmp" | "icmp6" => match self.term()? {
                Term::Protocol(_, protocol) => Ok(protocol),
                _ => wrong(self.peek(), "expected a protocol"),
            },
            _ => self.number("a protocol: tcp, udp, icmp, icmp6 or a number"),
        }
    }

    fn number<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, FilterError> {
        let word = self.take();
        word.parse().or_else(|_| wrong(word, &format!("expected {what}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Expression {
        Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn not_binds_tighter_than_and_which_binds_tighter_than_or() {
        let (a, b, c) = (Term::Vni(1), Term::Vni(2), Term::Vni(3));
        let is = |term: &Term| Box::new(Expression::Is(term.clone()));
        let not_a = Box::new(Expression::Not(is(&a)));
        let and = Box::new(Expression::And(is(&b), is(&c)));
        assert_eq!(parse("not vni 1 or vni 2 and vni 3"), Expression::Or(not_a, and));
        let or = Box::new(Expression::Or(is(&a), is(&b)));
        assert_eq!(parse("(vni 1||vni 2)&& vni 3").clone(), Expression::And(or, is(&c)));
    }

    #[test]
    fn each_kind_of_term_is_parsed() {
        let address: IpAddr = "10.10.2.13".parse().expect("address");
        for (text, term) in [
            ("host 10.10.2.13", Term::Net(Layer::Any, End::Any, address, 32)),
            ("outer src host 10.10.2.13", Term::Net(Layer::Outer, End::Source, address, 32)),
            ("inner net 10.10.2.13/26", Term::Net(Layer::Inner, End::Any, address, 26)),
            ("dst port 443", Term::Port(Layer::Any, End::Destination, 443)),
            ("proto udp", Term::Protocol(Layer::Any, 17)),
            ("proto 4", Term::Protocol(Layer::Any, 4)),
            ("peer 10.10.2.13", Term::Peer(address)),
            ("dev eth0", Term::Device("eth0".to_owned())),
            ("ip.id == 77", Term::Id(Layer::Any, 77)),
            ("greater 1400", Term::Size(true, 1400)),
        ] {
            assert_eq!(parse(text), Expression::Is(term), "{text}");
        }
    }

    #[test]
    fn errors_name_the_wrong_word() {
        for (text, at) in [
            ("", ""),
            ("host", ""),
            ("host example.org", "example.org"),
            ("port 70000", "70000"),
            ("vni 1 vni 2", "vni"),
            ("(vni 1", ""),
            ("net 10.0.0.0/33", "10.0.0.0/33"),
            ("outer vni 1", "vni"),
            ("colour red", "colour"),
        ] {
            let error = Expression::parse(text).expect_err(text);
            assert_eq!(error.at, at, "{text}: {error}");
        }
        assert!(Expression::parse(&"(".repeat(10_000)).is_err(), "the stack must not overflow");
        assert!(Expression::parse(&"not ".repeat(10_000)).is_err());
    }
}
