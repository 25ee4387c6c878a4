//! Prints the topology that Observer derives in this network namespace: `topology [--node | --watch] [DEVICE…]`.
//! With `--node`, prints the underlying facts in the format of the test data.

use observer::kernel::netlink::{Watcher, read_node};
use observer::topology::{Choice, Node, Topology};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut choice = Choice::default();
    let mut facts = false;
    let mut watch = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--node" => facts = true,
            "--watch" => watch = true,
            _ => choice.devices.push(argument),
        }
    }
    let mut watcher = Watcher::new()?;
    loop {
        let node = read_node().await?;
        let topology = Topology::derive(&node, &choice)?;
        if facts {
            println!("{}", json(&node)?);
        } else {
            print(&topology);
        }
        if !watch {
            return Ok(());
        }
        watcher.set_tunnels(
            topology.watched.iter().filter(|w| w.device.vxlan.is_some()).map(|w| w.device.ifindex),
        );
        println!("{:?}", watcher.changed().await?);
    }
}

/// JSON with one fact per line, in the format of the test data.
fn json(node: &Node) -> Result<String, serde_json::Error> {
    fn list<T: serde::Serialize>(values: &[T]) -> Result<String, serde_json::Error> {
        let lines = values.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        Ok(lines.join(",\n"))
    }
    Ok(format!(
        "{{\"devices\":[\n{}],\n\"addresses\":[\n{}],\n\"routes\":[\n{}],\n\"neighbours\":[\n{}],\n\"fdb\":[\n{}],\n\"notes\":[]}}",
        list(&node.devices)?,
        list(&node.addresses)?,
        list(&node.routes)?,
        list(&node.neighbours)?,
        list(&node.fdb)?
    ))
}

fn print(topology: &Topology) {
    for w in &topology.watched {
        let (name, class) = (&w.device.name, w.class.label());
        println!(
            "{:9} {name} {class} index {} {:?} mtu {} overhead {} vni {:?} underlay {:?} mtu {:?}",
            w.role.label(),
            w.device.ifindex,
            w.device.link,
            w.device.mtu,
            w.overhead,
            w.vni,
            w.underlay,
            w.underlay_mtu
        );
    }
    let underlay = topology.watched.first().map_or(0, |w| w.device.ifindex);
    for peer in &topology.peers {
        let scope = topology.scope(underlay, peer.address).label();
        println!("peer      {} udp {} vni {} {scope}", peer.address, peer.udp_class.label(), peer.vni);
    }
    for b in &topology.blocks {
        println!("block     {}/{} via {} {} vni {}", b.address, b.prefix_len, b.peer, b.class.label(), b.vni);
    }
    let Topology { vxlan_ports, geneve_ports, wireguard_ports, vnis, routers, notes, .. } = topology;
    println!("ports     {vxlan_ports:?} {geneve_ports:?} {wireguard_ports:?} vnis {vnis:?}");
    println!("routers   {routers:?}");
    println!("sizes     {:?}", topology.size_bounds());
    println!("config    {:x?}", topology.config());
    for note in notes {
        println!("note      {note}");
    }
}
