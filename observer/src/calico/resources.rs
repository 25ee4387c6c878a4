//! Parses resources from YAML or JSON, including several documents and lists. Other kinds are skipped and
//! counted, so that the output of any `kubectl get … -o yaml` is accepted.

use std::net::IpAddr;

use serde::Deserialize as _;
use serde_json::Value;

use super::{Calico, Felix, Node, Pool, Prefix, When};

/// A text that cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// It is neither YAML nor JSON.
    #[error("not YAML or JSON: {0}")]
    Syntax(String),
    /// A field has an invalid value.
    #[error("{kind} {name}: invalid {field} `{value}`")]
    Field {
        /// The object's kind.
        kind: &'static str,
        /// The object's name.
        name: String,
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
}

/// Parses all resources of a text.
///
/// # Errors
/// The text, or a field of a known kind, is invalid.
pub fn parse(text: &str) -> Result<Calico, ResourceError> {
    let mut calico = Calico::default();
    for document in serde_norway::Deserializer::from_str(text) {
        let value = Value::deserialize(document).map_err(|error| ResourceError::Syntax(error.to_string()))?;
        read(&value, &mut calico)?;
    }
    Ok(calico)
}

/// Reads one object, or each object of a list.
fn read(value: &Value, calico: &mut Calico) -> Result<(), ResourceError> {
    if let Some(items) = value["items"].as_array() {
        // The API gives the kind only for the list, not for its items.
        let kind = value["kind"].as_str().and_then(|kind| kind.strip_suffix("List"));
        return items.iter().try_for_each(|item| {
            let own = item["kind"].as_str().or(kind.filter(|kind| !kind.is_empty()));
            object(own.unwrap_or_default(), item, calico)
        });
    }
    if let Some(items) = value.as_array() {
        return items.iter().try_for_each(|item| read(item, calico));
    }
    if value.is_null() {
        return Ok(());
    }
    object(value["kind"].as_str().unwrap_or_default(), value, calico)
}

fn object(kind: &str, value: &Value, calico: &mut Calico) -> Result<(), ResourceError> {
    let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let spec = &value["spec"];
    let mut found = Calico::default();
    match kind {
        "IPPool" => found.pools.push(pool(name, spec)?),
        "Node" => found.nodes.push(node(name, value)?),
        "FelixConfiguration" => found.felix.push(felix(name, spec)),
        "BlockAffinity" => {
            if let (Some(cidr), Some(node)) = (spec["cidr"].as_str(), spec["node"].as_str()) {
                found.blocks.push((prefix("BlockAffinity", &name, "cidr", cidr)?, node.to_owned()));
            }
        }
        "IPAMBlock" => {
            let host = spec["affinity"].as_str().and_then(|affinity| affinity.strip_prefix("host:"));
            if let (Some(cidr), Some(host)) = (spec["cidr"].as_str(), host) {
                found.blocks.push((prefix("IPAMBlock", &name, "cidr", cidr)?, host.to_owned()));
            }
        }
        _ => found.others = 1,
    }
    calico.add(found);
    Ok(())
}

fn pool(name: String, spec: &Value) -> Result<Pool, ResourceError> {
    let cidr = prefix("IPPool", &name, "cidr", spec["cidr"].as_str().unwrap_or_default())?;
    let ipip = when(&name, "ipipMode", &spec["ipipMode"])?;
    let vxlan = when(&name, "vxlanMode", &spec["vxlanMode"])?;
    Ok(Pool { name, cidr, ipip, vxlan, disabled: spec["disabled"].as_bool().unwrap_or(false) })
}

fn when(name: &str, field: &'static str, value: &Value) -> Result<When, ResourceError> {
    match value.as_str() {
        None | Some("" | "Never") => Ok(When::Never),
        Some("Always") => Ok(When::Always),
        Some("CrossSubnet") => Ok(When::CrossSubnet),
        Some(other) => Err(ResourceError::Field {
            kind: "IPPool",
            name: name.to_owned(),
            field,
            value: other.to_owned(),
        }),
    }
}

/// A node of Kubernetes (with Calico's annotations) or of Calico.
fn node(name: String, value: &Value) -> Result<Node, ResourceError> {
    let (annotations, spec) = (&value["metadata"]["annotations"], &value["spec"]);
    let annotation = |key: &str| annotations[format!("projectcalico.org/{key}")].as_str();
    let addresses = [
        annotation("IPv4Address"),
        annotation("IPv6Address"),
        spec["bgp"]["ipv4Address"].as_str(),
        spec["bgp"]["ipv6Address"].as_str(),
    ];
    let tunnels = [
        annotation("IPv4IPIPTunnelAddr"),
        annotation("IPv4VXLANTunnelAddr"),
        annotation("IPv6VXLANTunnelAddr"),
        annotation("IPv4WireguardInterfaceAddr"),
        annotation("IPv6WireguardInterfaceAddr"),
        spec["bgp"]["ipv4IPIPTunnelAddr"].as_str(),
        spec["ipv4VXLANTunnelAddr"].as_str(),
        spec["ipv6VXLANTunnelAddr"].as_str(),
    ];
    let present = |text: &&str| !text.is_empty();
    let mut node = Node { name, ..Node::default() };
    for text in addresses.into_iter().flatten().filter(present) {
        node.addresses.push(prefix("Node", &node.name, "address", text)?);
    }
    for text in tunnels.into_iter().flatten().filter(present) {
        node.tunnels.push(prefix("Node", &node.name, "tunnel address", text)?.0);
    }
    Ok(node)
}

fn felix(name: String, spec: &Value) -> Felix {
    let mtu = |field: &str| spec[field].as_u64().and_then(|mtu| u32::try_from(mtu).ok());
    Felix {
        name,
        mtu_iface_pattern: spec["mtuIfacePattern"].as_str().map(str::to_owned),
        ipip_mtu: mtu("ipipMTU"),
        vxlan_mtu: mtu("vxlanMTU"),
        vxlan_mtu_v6: mtu("vxlanMTUV6"),
        wireguard_mtu: mtu("wireguardMTU"),
        wireguard_mtu_v6: mtu("wireguardMTUV6"),
    }
}

/// An address with or without a prefix length.
fn prefix(kind: &'static str, name: &str, field: &'static str, text: &str) -> Result<Prefix, ResourceError> {
    let wrong = || ResourceError::Field { kind, name: name.to_owned(), field, value: text.to_owned() };
    if text.contains('/') {
        return crate::topology::prefix(text).map_err(|_| wrong());
    }
    let address: IpAddr = text.parse().map_err(|_| wrong())?;
    Ok((address, if address.is_ipv4() { 32 } else { 128 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Mode;
    use observer_common::kind::Class;

    const CALICOCTL: &str = "
apiVersion: projectcalico.org/v3
items:
- apiVersion: projectcalico.org/v3
  kind: IPPool
  metadata: {name: default-ipv4-ippool}
  spec: {cidr: 10.244.0.0/16, ipipMode: Never, vxlanMode: CrossSubnet, natOutgoing: true}
- apiVersion: projectcalico.org/v3
  kind: Node
  metadata: {name: node-a}
  spec:
    bgp: {ipv4Address: 10.10.1.11/24, ipv4IPIPTunnelAddr: ''}
    ipv4VXLANTunnelAddr: 10.244.10.0
kind: List
---
apiVersion: crd.projectcalico.org/v1
kind: FelixConfiguration
metadata: {name: default}
spec: {vxlanMTU: 1400, mtuIfacePattern: '^bond.*'}
---
apiVersion: crd.projectcalico.org/v1
kind: FelixConfiguration
metadata: {name: node.node-a}
spec: {vxlanMTU: 1410}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
";

    #[test]
    fn yaml_of_calicoctl_and_both_api_groups_are_parsed() {
        let calico = parse(CALICOCTL).expect("yaml");
        assert_eq!(calico.mode(false), Some(Mode::CrossSubnet(Class::Vxlan)));
        assert_eq!(calico.mode(true), None);
        let felix = calico.felix_on(Some("node-a"));
        assert_eq!(felix.mtu_of(Class::Vxlan, false), Some(1410));
        assert_eq!(felix.mtu_iface_pattern.as_deref(), Some("^bond.*"));
        assert_eq!(calico.felix_on(Some("other")).mtu_of(Class::Vxlan, false), Some(1400));
        assert_eq!(calico.others, 1);
        let ip = |text: &str| text.parse::<IpAddr>().expect(text);
        assert_eq!(calico.node_at(ip("10.10.1.11")).map(|node| node.name.as_str()), Some("node-a"));
        assert_eq!(calico.owner((ip("10.244.10.0"), 26)), Some("node-a"));
    }

    #[test]
    fn items_get_the_kind_of_their_list() {
        let text = r#"{"kind":"IPPoolList","apiVersion":"crd.projectcalico.org/v1","items":[
            {"metadata":{"name":"six"},"spec":{"cidr":"fd00::/48","vxlanMode":"Always"}},
            {"metadata":{"name":"off"},"spec":{"cidr":"fd01::/48","disabled":true}}]}"#;
        let calico = parse(text).expect("json");
        assert_eq!(calico.mode(true), Some(Mode::Always(Class::Vxlan)));
        let text = r#"{"kind":"NodeList","items":[{"metadata":{"name":"n","annotations":{
            "projectcalico.org/IPv4Address":"192.0.2.1/24","projectcalico.org/IPv4IPIPTunnelAddr":"10.1.0.1"}},
            "spec":{"podCIDR":"10.0.0.0/24"}}]}"#;
        let node = &parse(text).expect("json").nodes[0];
        assert_eq!(node.addresses, [("192.0.2.1".parse().expect("address"), 24)]);
        assert_eq!(node.tunnels.len(), 1);
    }

    #[test]
    fn two_kinds_have_owners_of_blocks() {
        let text = "
kind: BlockAffinity
metadata: {name: a}
spec: {cidr: 10.244.10.0/26, node: node-a, state: confirmed}
---
kind: IPAMBlock
metadata: {name: b}
spec: {cidr: 10.244.20.64/26, affinity: 'host:node-b'}
";
        let calico = parse(text).expect("yaml");
        let owners: Vec<&str> = calico.blocks.iter().map(|(_, node)| node.as_str()).collect();
        assert_eq!(owners, ["node-a", "node-b"]);
    }

    #[test]
    fn an_invalid_field_is_named() {
        let error = parse("kind: IPPool\nmetadata: {name: p}\nspec: {cidr: 10.0.0.0/8, ipipMode: Sometimes}")
            .expect_err("no such mode");
        assert_eq!(error.to_string(), "IPPool p: invalid ipipMode `Sometimes`");
        assert!(parse("{").is_err());
    }
}
