//! Compiles a filter to the steps that the BPF program runs.

use std::net::IpAddr;

use observer_common::address::{Address, Mask};
use observer_common::event::{STEPS, Step, field, step};

use super::filter::{End, Expression, FilterError, Layer, Term};

const NONE: [u32; 4] = [0; 4];

/// Compiles `expression`; `slot` returns the slot of a device name.
///
/// # Errors
/// A device is not watched, or the filter has too many steps.
pub fn compile(
    expression: &Expression,
    slot: &dyn Fn(&str) -> Option<u16>,
) -> Result<Vec<Step>, FilterError> {
    let mut steps = Vec::new();
    emit(expression, slot, &mut steps)?;
    if steps.len() > STEPS {
        return Err(FilterError {
            at: "the end".to_owned(),
            what: format!("the filter needs {} steps of at most {STEPS}; shorten it", steps.len()),
        });
    }
    Ok(steps)
}

fn emit(
    expression: &Expression,
    slot: &dyn Fn(&str) -> Option<u16>,
    steps: &mut Vec<Step>,
) -> Result<(), FilterError> {
    match expression {
        Expression::Is(term) => {
            let any = of(term, slot)?;
            for (nth, one) in any.iter().enumerate() {
                steps.push(*one);
                if nth > 0 {
                    steps.push(join(step::OR));
                }
            }
        }
        Expression::Not(inner) => {
            emit(inner, slot, steps)?;
            steps.push(join(step::NOT));
        }
        Expression::And(left, right) | Expression::Or(left, right) => {
            emit(left, slot, steps)?;
            emit(right, slot, steps)?;
            steps.push(join(if matches!(expression, Expression::And(..)) { step::AND } else { step::OR }));
        }
    }
    Ok(())
}

const fn join(what: u32) -> Step {
    Step { what, field: 0, mask: NONE, operand: NONE }
}

/// Comparisons, one of which must be true.
fn of(term: &Term, slot: &dyn Fn(&str) -> Option<u16>) -> Result<Vec<Step>, FilterError> {
    Ok(match term {
        Term::Net(layer, end, address, length) => {
            let fields = [
                (Layer::Outer, End::Source, field::OUTER_SOURCE),
                (Layer::Outer, End::Destination, field::OUTER_DESTINATION),
                (Layer::Inner, End::Source, field::INNER_SOURCE),
                (Layer::Inner, End::Destination, field::INNER_DESTINATION),
            ];
            let wanted = fields.iter().filter(|(l, e, _)| fits(*layer, *l) && ends(*end, *e));
            wanted.map(|(_, _, field)| net(*field, *address, *length)).collect()
        }
        Term::Peer(address) => vec![net(field::PEER, *address, if address.is_ipv4() { 32 } else { 128 })],
        Term::Port(layer, end, port) => {
            let places = [
                (Layer::Outer, End::Source),
                (Layer::Outer, End::Destination),
                (Layer::Inner, End::Source),
                (Layer::Inner, End::Destination),
            ];
            let wanted = places.iter().enumerate().filter(|(_, (l, e))| fits(*layer, *l) && ends(*end, *e));
            wanted.map(|(place, _)| word(field::PORTS, place, u32::from(*port))).collect()
        }
        Term::Protocol(layer, protocol) => layers(*layer, field::PROTOCOLS, u32::from(*protocol)),
        Term::Id(layer, id) => layers(*layer, field::IDS, *id),
        Term::Vni(vni) => vec![word(field::IDS, 2, *vni)],
        Term::Size(greater, size) => {
            let what = if *greater { step::GREATER } else { step::LESS };
            vec![Step {
                what,
                field: u32::from(field::PLACE),
                mask: [0, 0, u32::MAX, 0],
                operand: [*size, 0, 0, 0],
            }]
        }
        Term::Ingress(ingress) => vec![word(field::PLACE, 1, u32::from(!*ingress))],
        Term::Device(name) => match slot(name) {
            Some(slot) => vec![word(field::PLACE, 0, u32::from(slot))],
            None => {
                return Err(FilterError {
                    at: name.clone(),
                    what: "this device is not watched; add it to the devices on the command line".to_owned(),
                });
            }
        },
    })
}

fn fits(wanted: Layer, layer: Layer) -> bool {
    wanted == Layer::Any || wanted == layer
}

fn ends(wanted: End, end: End) -> bool {
    wanted == End::Any || wanted == end
}

fn layers(layer: Layer, field: u8, value: u32) -> Vec<Step> {
    let places = [(Layer::Outer, 0), (Layer::Inner, 1)];
    places.iter().filter(|(l, _)| fits(layer, *l)).map(|(_, place)| word(field, *place, value)).collect()
}

fn word(field: u8, place: usize, value: u32) -> Step {
    let mut step = Step { what: step::EQUAL, field: u32::from(field), mask: NONE, operand: NONE };
    step.mask[place] = u32::MAX;
    step.operand[place] = value;
    step
}

fn net(field: u8, address: IpAddr, length: u8) -> Step {
    let (address, length) = match address {
        IpAddr::V4(v4) => (Address::from_v4(v4.octets()), length.saturating_add(96)),
        IpAddr::V6(v6) => (Address::from_v6(v6.octets()), length),
    };
    let mask = Mask::of(length);
    Step { what: step::EQUAL, field: u32::from(field), mask: mask.0, operand: address.masked(&mask).0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use observer_common::event::Fields;

    /// Whether the filter accepts a packet from 10.10.1.11:5000 to 10.10.2.13:4789 with VNI 4096 and, inside,
    /// 10.244.10.1 to 10.244.30.129, both UDP, 1500 bytes, ingress on the device of slot 3.
    fn passes(text: &str) -> bool {
        let v4 = |o| Address::from_v4(o).0;
        let mut fields = Fields::NOTHING;
        fields.0[field::OUTER_SOURCE as usize] = v4([10, 10, 1, 11]);
        fields.0[field::OUTER_DESTINATION as usize] = v4([10, 10, 2, 13]);
        fields.0[field::INNER_SOURCE as usize] = v4([10, 244, 10, 1]);
        fields.0[field::INNER_DESTINATION as usize] = v4([10, 244, 30, 129]);
        fields.0[field::PEER as usize] = v4([10, 10, 1, 11]);
        fields.0[field::PORTS as usize] = [5000, 4789, 40000, 53];
        fields.0[field::PROTOCOLS as usize] = [17, 17, 4, 4];
        fields.0[field::IDS as usize] = [77, 78, 4096, 5];
        fields.0[field::PLACE as usize] = [3, 0, 1500, 1];
        let expression = Expression::parse(text).expect(text);
        let steps = compile(&expression, &|name| (name == "eth0").then_some(3)).expect(text);
        steps.iter().fold(0, |stack, step| step.run(&fields, stack)) & 1 != 0
    }

    #[test]
    fn filters_accept_matching_packets_only() {
        for (text, expected) in [
            ("host 10.10.2.13", true),
            ("src host 10.10.2.13", false),
            ("inner host 10.10.2.13", false),
            ("inner net 10.244.30.128/26", true),
            ("outer net 10.244.0.0/16", false),
            ("net 0.0.0.0/0", true),
            ("host fd00::1", false),
            ("net ::/0", true),
            ("port 53", true),
            ("outer port 53", false),
            ("dst port 4789 and src port 5000", true),
            ("tcp", false),
            ("not tcp and vni 4096", true),
            ("ip.id 78", true),
            ("outer ip.id 78", false),
            ("greater 1499 and less 1501", true),
            ("greater 1500", false),
            ("dev eth0 and ingress", true),
            ("egress", false),
            ("peer 10.10.1.11", true),
            ("vni 1 or vni 2 or (vni 4096 and not host 10.10.9.9)", true),
        ] {
            assert_eq!(passes(text), expected, "{text}");
        }
    }

    #[test]
    fn long_filters_and_unwatched_devices_are_refused() {
        let long = vec!["host 10.0.0.1"; 20].join(" or ");
        let expression = Expression::parse(&long).expect("a filter");
        assert!(compile(&expression, &|_| None).is_err());
        let expression = Expression::parse("dev eth7").expect("a filter");
        assert_eq!(compile(&expression, &|_| None).expect_err("unknown").at, "eth7");
    }
}
