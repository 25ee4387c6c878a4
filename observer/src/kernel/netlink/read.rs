//! Reads the node.

use std::io;

use futures::StreamExt;
use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use rtnetlink::packet_route::neighbour::NeighbourMessage;
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{Handle, new_connection};

use super::decode;
use crate::topology::Node;

/// Attempts to read a list that changes meanwhile.
const ATTEMPTS: u32 = 5;

/// Why the node could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {object}: {cause}")]
pub struct NetlinkError {
    /// What was attempted.
    pub operation: &'static str,
    /// On what.
    pub object: &'static str,
    /// Why it failed.
    pub cause: io::Error,
}

impl NetlinkError {
    pub(super) fn new(operation: &'static str, object: &'static str) -> impl Fn(io::Error) -> Self {
        move |cause| Self { operation, object, cause }
    }
}

/// Reads devices, addresses, routes, neighbours and forwarding entries of this network namespace.
///
/// # Errors
/// The socket could not be opened, or the kernel refused a list.
pub async fn read_node() -> Result<Node, NetlinkError> {
    let (connection, handle, _) =
        new_connection().map_err(NetlinkError::new("open", "a route netlink socket"))?;
    let connection = tokio::spawn(connection);
    let node = read(handle).await;
    connection.abort();
    node
}

async fn read(mut handle: Handle) -> Result<Node, NetlinkError> {
    let mut node = Node::default();
    for message in dump(&mut handle, "devices", links()).await? {
        if let RouteNetlinkMessage::NewLink(link) = message {
            node.devices.push(decode::device(&link));
        }
    }
    for message in
        dump(&mut handle, "addresses", RouteNetlinkMessage::GetAddress(AddressMessage::default())).await?
    {
        if let RouteNetlinkMessage::NewAddress(address) = message {
            node.addresses.extend(decode::address(&address));
        }
    }
    for (family, object) in [(AddressFamily::Inet, "IPv4 routes"), (AddressFamily::Inet6, "IPv6 routes")] {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        for message in dump(&mut handle, object, RouteNetlinkMessage::GetRoute(request)).await? {
            if let RouteNetlinkMessage::NewRoute(route) = message {
                node.routes.extend(decode::routes(&route));
            }
        }
    }
    for (family, object) in [
        (AddressFamily::Inet, "IPv4 neighbours"),
        (AddressFamily::Inet6, "IPv6 neighbours"),
        (AddressFamily::Bridge, "forwarding entries"),
    ] {
        let mut request = NeighbourMessage::default();
        request.header.family = family;
        for message in dump(&mut handle, object, RouteNetlinkMessage::GetNeighbour(request)).await? {
            let RouteNetlinkMessage::NewNeighbour(neighbour) = message else { continue };
            node.neighbours.extend(decode::neighbour(&neighbour));
            node.unreachable.extend(decode::unreachable(&neighbour));
            node.fdb.extend(decode::forwarding(&neighbour));
        }
    }
    Ok(node)
}

fn links() -> RouteNetlinkMessage {
    let mut request = LinkMessage::default();
    // Counters would be most of the answer, and are not used.
    request.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    RouteNetlinkMessage::GetLink(request)
}

/// A list, read again if the kernel reports that it changed meanwhile.
async fn dump(
    handle: &mut Handle,
    object: &'static str,
    request: RouteNetlinkMessage,
) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
    let failed = NetlinkError::new("read", object);
    for _ in 0..ATTEMPTS {
        let mut message = NetlinkMessage::from(request.clone());
        message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut replies =
            handle.request(message).map_err(|error| failed(io::Error::other(error.to_string())))?;
        let mut list = Vec::new();
        let mut interrupted = false;
        while let Some(reply) = replies.next().await {
            interrupted |= reply.header.flags & NLM_F_DUMP_INTR != 0;
            match reply.payload {
                NetlinkPayload::InnerMessage(inner) => list.push(inner),
                // Without IPv6 or bridges in the kernel the list is empty, not unknown.
                NetlinkPayload::Error(error) if is_absent(&error.to_io()) => return Ok(Vec::new()),
                NetlinkPayload::Error(error) => return Err(failed(error.to_io())),
                NetlinkPayload::Overrun(_) => interrupted = true,
                _ => {}
            }
        }
        if !interrupted {
            return Ok(list);
        }
    }
    Err(failed(io::Error::other(format!("the list changed during each of {ATTEMPTS} attempts"))))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT))
}
