//! Shared by the fuzz targets: from the fuzzer's bytes to a packet and the node that observes it.

use observer_common::kind::{Class, Direction};
use observer_testing::Input;
use observer_testing::node::Node;

/// Bytes before the packet that select the node and the frame's properties.
pub const CHOICES: usize = 4;

/// A packet at one of several nodes; `None` if there are too few bytes.
///
/// Zeros select a complete ingress frame with a single packet on an underlay.
#[must_use]
pub fn input(data: &[u8]) -> Option<Input> {
    let (choices, bytes) = data.split_at_checked(CHOICES)?;
    let node = match choices[0] & 7 {
        0 => Node::underlay(Class::Vxlan),
        1 => Node::underlay(Class::Ipip),
        2 => Node::underlay(Class::Geneve),
        3 => Node::underlay(Class::Wireguard),
        4 => Node::underlay(Class::None),
        5 => Node::tunl0(),
        6 => Node::vxlan_calico(),
        _ => Node::other(0),
    };
    let mut input = Input::new(node, bytes.to_vec());
    if choices[0] & 0x08 != 0 {
        input.direction = Direction::Egress;
    }
    let frame = &mut input.frame;
    frame.tag_beside = choices[0] & 0x10 != 0;
    frame.zero_length_is_big = choices[0] & 0x20 != 0;
    if choices[0] & 0x40 != 0 {
        // A capture with a snap length.
        frame.length += u32::from(choices[1]) * 8;
    }
    if choices[0] & 0x80 != 0 {
        frame.gso_segs = u32::from(choices[1]);
        frame.gso_size = u32::from(u16::from_be_bytes([choices[2], choices[3]]));
        frame.gso_segs = frame.gso_segs.max(u32::from(frame.gso_size == 0));
    }
    Some(input)
}
