//! What is on a device's hooks: `clsact` and its filters, for kernels without TCX, and the owner of an XDP hook.

use futures::TryStreamExt as _;
use rtnetlink::packet_route::link::{LinkAttribute, LinkXdp};
use rtnetlink::packet_route::tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption};
use rtnetlink::{Error, Handle, new_connection};

use observer_common::kind::Direction;

use super::error::{KernelError, chain};

/// `TC_H_CLSACT`: the parent of the qdisc.
const CLSACT_PARENT: TcHandle = TcHandle { major: 0xffff, minor: 0xfff1 };
const CLSACT_HANDLE: TcHandle = TcHandle { major: 0xffff, minor: 0 };

/// One filter of a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The hook.
    pub direction: Direction,
    /// Id of the BPF program, if it is one.
    pub program: Option<u32>,
}

fn failed(operation: &'static str, ifindex: u32) -> impl Fn(Error) -> KernelError {
    move |error| {
        KernelError::new(
            operation,
            format!("the clsact of interface {ifindex}"),
            chain(&error),
            "grant CAP_NET_ADMIN; `tc filter show dev DEVICE ingress` lists the filters",
        )
    }
}

fn connect(operation: &'static str, ifindex: u32) -> Result<Handle, KernelError> {
    let (connection, handle, _) = new_connection().map_err(|error| {
        KernelError::new(
            operation,
            format!("the clsact of interface {ifindex}"),
            format!("cannot open a netlink socket: {error}"),
            "raise the limit on open files (`ulimit -n`)",
        )
    })?;
    tokio::spawn(connection);
    Ok(handle)
}

fn index(ifindex: u32) -> i32 {
    i32::try_from(ifindex).unwrap_or(i32::MAX)
}

/// All filters on both hooks of a device.
pub async fn filters(ifindex: u32) -> Result<Vec<Filter>, KernelError> {
    let handle = connect("list the filters on", ifindex)?;
    let mut found = Vec::new();
    for direction in Direction::ALL {
        let get = handle.traffic_filter(index(ifindex)).get();
        let get = match direction {
            Direction::Ingress => get.ingress(),
            Direction::Egress => get.egress(),
        };
        let messages: Vec<TcMessage> = match get.execute().try_collect().await {
            Ok(messages) => messages,
            // No clsact, no filters.
            Err(Error::NetlinkError(message)) if message.raw_code() == -libc::EINVAL => Vec::new(),
            Err(error) => return Err(failed("list the filters on", ifindex)(error)),
        };
        // The head of a priority is a separate message without a handle.
        found.extend(
            messages
                .iter()
                .filter(|m| m.header.handle != TcHandle::default())
                .map(|message| filter(direction, message)),
        );
    }
    Ok(found)
}

fn filter(direction: Direction, message: &TcMessage) -> Filter {
    let mut filter = Filter { direction, program: None };
    for attribute in &message.attributes {
        let TcAttribute::Options(options) = attribute else { continue };
        for option in options {
            if let TcOption::Bpf(TcFilterBpfOption::ProgId(id)) = option {
                filter.program = Some(*id);
            }
        }
    }
    filter
}

/// Whether a device has a `clsact`.
pub async fn present(ifindex: u32) -> Result<bool, KernelError> {
    let handle = connect("query", ifindex)?;
    let qdiscs: Vec<TcMessage> = handle
        .qdisc()
        .get()
        .index(index(ifindex))
        .execute()
        .try_collect()
        .await
        .map_err(failed("query", ifindex))?;
    // Old kernels ignore the index.
    Ok(qdiscs.iter().filter(|q| q.header.index == index(ifindex)).any(|qdisc| {
        qdisc.attributes.iter().any(|a| matches!(a, TcAttribute::Kind(kind) if kind == "clsact"))
    }))
}

/// Removes a device's `clsact` if it has no filters.
pub async fn remove_if_empty(ifindex: u32) -> Result<(), KernelError> {
    if !filters(ifindex).await?.is_empty() {
        return Ok(());
    }
    let handle = connect("remove", ifindex)?;
    let mut request = handle.qdisc().del(index(ifindex));
    let header = &mut request.message_mut().header;
    (header.parent, header.handle) = (CLSACT_PARENT, CLSACT_HANDLE);
    request.execute().await.map_err(failed("remove", ifindex))
}

/// The program on the XDP hook of an interface, by name and id if they can be found.
pub async fn xdp_owner(ifindex: u32) -> String {
    const UNKNOWN: &str = "another program";
    let Ok(handle) = connect("query", ifindex) else { return UNKNOWN.to_owned() };
    let mut links = handle.link().get().match_index(ifindex).execute();
    let Ok(Some(link)) = links.try_next().await else { return UNKNOWN.to_owned() };
    let id = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Xdp(facts) => facts.iter().find_map(|fact| match fact {
            LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) => Some(*id),
            _ => None,
        }),
        _ => None,
    });
    let Some(id) = id else { return UNKNOWN.to_owned() };
    let name = aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned));
    name.map_or_else(|| format!("program id {id}"), |name| format!("program {name} (id {id})"))
}
