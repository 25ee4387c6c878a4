//! `observer pcap` as a user runs it: golden reports on small captures, formats, link types and damaged files.
//!
//! `UPDATE_GOLDEN=1 cargo test -p observer --test pcap` rewrites the golden files; review the difference.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use observer_testing::packets::{Ip4, ethernet_ip, payload, ptb4, tcp, udp, vxlan};
use serde_json::Value;

const A: [u8; 4] = [192, 0, 2, 1];
const B: [u8; 4] = [192, 0, 2, 2];
const PODS: [[u8; 4]; 2] = [[10, 244, 1, 5], [10, 244, 2, 7]];

fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/pcap")
}

fn observer(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_observer"));
    command.arg("pcap").args(arguments).current_dir(data()).env_remove("OBSERVER_FORMAT");
    command.stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    observer(arguments).output().expect("observer starts")
}

fn piped(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = observer(arguments);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("observer starts");
    // observer may exit before it has read everything.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().expect("observer ends")
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
}

/// The JSON report on a capture in memory that can be read completely.
fn count(capture: &[u8], more: &[&str]) -> Value {
    let output = piped(&[&["-", "--format", "json", "--paths"], more].concat(), capture);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    json(&output)
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn captures() -> Vec<String> {
    let entries = std::fs::read_dir(data()).expect("tests/data/pcap");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let mut names: Vec<String> = names.filter(|name| name.contains(".pcap")).collect();
    names.sort();
    names
}

fn compare(name: &str, text: &str) {
    let path = data().join("golden").join(name);
    observer_testing::golden::compare(&path, text);
}

/// A counter, summed over the rows of a class.
fn of(report: &Value, class: &str, counter: &str) -> u64 {
    let rows = report["rows"].as_array().expect("rows").iter();
    let rows = rows.filter(|row| row["encapsulation"] == class);
    rows.map(|row| row["counters"][counter].as_u64().expect("a number")).sum()
}

/// A counter, summed over all rows.
fn sum(report: &Value, counter: &str) -> u64 {
    let rows = report["rows"].as_array().expect("rows").iter();
    rows.filter_map(|row| row["counters"][counter].as_u64()).sum()
}

/// A rare event, summed over devices and directions.
fn events(report: &Value, pointer: &str) -> u64 {
    let devices = report["devices"].as_array().expect("devices").iter();
    let directions = devices.flat_map(|device| device["events"].as_object().expect("directions").values());
    directions.filter_map(|events| events.pointer(pointer)?.as_u64()).sum()
}

/// A line for each field and row of a report: small files with readable differences.
fn by_key(value: &Value) -> String {
    let mut text = String::new();
    for (key, value) in value.as_object().expect("an object") {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(field, value)| text += &format!("{key}.{field}: {value}\n"));
            }
            Value::Array(rows) => {
                for (i, row) in rows.iter().enumerate() {
                    let mut row = row.clone();
                    // Counters over the interval, both of which are here.
                    if let Some(fields) = row.as_object_mut() {
                        fields.retain(|field, _| field != "rates" && field != "overhead_bytes_per_second");
                    }
                    text += &format!("{key}[{i}]: {row}\n");
                }
            }
            _ => text += &format!("{key}: {value}\n"),
        }
    }
    text
}

#[test]
fn golden_figures() {
    let captures = captures();
    assert!(captures.len() >= 8);
    for name in &captures {
        let output = run(&[name, "--format", "json", "--paths=100", "--mtu", "1500"]);
        assert_eq!(output.status.code(), Some(0), "{name}");
        compare(&format!("{name}.txt"), &by_key(&json(&output)));
    }
    for (name, arguments) in [
        ("ethernet-events.txt", &["table-ethernet.pcap", "--events", "--mtu", "1500"][..]),
        ("events.csv", &["lab-bgp-any.pcap", "--events", "--format", "csv"]),
        ("rows.csv", &["table-ethernet.pcap", "table-raw.pcap", "--format", "csv"]),
        ("paths.csv", &["lab-vxlan-always-any.pcap", "--format", "csv", "--paths"]),
        ("table.txt", &["lab-ipip-always-any.pcap", "lab-vxlan-always.pcap", "--paths=3"]),
    ] {
        compare(name, &String::from_utf8_lossy(&run(arguments).stdout));
    }
}

#[test]
fn standard_input_equals_a_file_and_several_files_are_summed() {
    let mut packets = 0;
    let names = captures();
    let counters = |report: &Value| -> Vec<Value> {
        let rows = report["rows"].as_array().expect("rows").iter();
        rows.map(|row| row["counters"].clone()).collect()
    };
    for name in &names {
        let file = json(&run(&[name, "--format", "json"]));
        let bytes = std::fs::read(data().join(name)).expect("a capture");
        assert_eq!(counters(&count(&bytes, &[])), counters(&file), "{name}");
        packets += sum(&file, "packets");
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let all = json(&run(&[&names[..], &["--format", "json"]].concat()));
    assert_eq!(sum(&all, "packets"), packets);
    assert_eq!(all["capture"]["files"].as_array().map(Vec::len), Some(names.len()));
}

/// A pcap file; `big` in the other byte order, `nano` with nanoseconds.
fn pcap(link: u32, frames: &[Vec<u8>], big: bool, nano: bool) -> Vec<u8> {
    let cut: Vec<(&[u8], usize)> = frames.iter().map(|frame| (frame.as_slice(), frame.len())).collect();
    pcap_cut(link, &cut, big, nano)
}

fn pcap_cut(link: u32, frames: &[(&[u8], usize)], big: bool, nano: bool) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let half = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let magic = if nano { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
    let mut file = [&word(magic)[..], &half(2), &half(4), &[0; 8], &word(65_535), &word(link)].concat();
    for (bytes, length) in frames {
        for value in [1_700_000_000, 500_000, bytes.len() as u32, *length as u32] {
            file.extend(word(value));
        }
        file.extend(*bytes);
    }
    file
}

fn ipip() -> Vec<u8> {
    let inner = Ip4::new(PODS[0], PODS[1], 6).around(&tcp(0, &payload(100)));
    Ip4::new(A, B, 4).around(&inner)
}

#[test]
fn byte_orders_and_nanoseconds() {
    let frames = [ethernet_ip(&ipip())];
    let plain = count(&pcap(1, &frames, false, false), &[]);
    assert_eq!(of(&plain, "ipip", "packets"), 1);
    assert_eq!(plain["underlay"]["overhead_bytes"], 20);
    let first = |report: &Value| report["capture"]["files"][0]["first_seconds"].as_f64();
    assert_eq!(first(&plain), Some(1_700_000_000.5));
    for big in [false, true] {
        let nano = count(&pcap(1, &frames, big, true), &[]);
        assert_eq!(nano["rows"], plain["rows"]);
        assert_eq!(first(&nano), Some(1_700_000_000.000_5));
    }
    assert_eq!(first(&count(&pcap(1, &frames, true, false), &[])), Some(1_700_000_000.5));
}

/// The same packet after every link layer: the same L3 figures, and wire bytes as recorded.
#[test]
fn link_types() {
    let packet = ipip();
    let sll = |protocol: u16, kind: u8| {
        let mut header = vec![0, kind, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
        header.extend(protocol.to_be_bytes());
        header
    };
    let sll2 = |protocol: u16, kind: u8| {
        let mut header = protocol.to_be_bytes().to_vec();
        header.extend([0, 0, 0, 0, 0, 7, 0, 1, kind, 6, 2, 0, 0, 0, 0, 1, 0, 0]);
        header
    };
    let tag = [0, 100, 8, 0];
    let cases: [(u32, Vec<u8>, Option<&str>); 13] = [
        (1, ethernet_ip(&[])[..12].iter().copied().chain([8, 0]).collect(), None),
        (101, vec![], None),
        (12, vec![], None),
        (14, vec![], None),
        (228, vec![], None),
        (0, vec![2, 0, 0, 0], None),
        (0, vec![0, 0, 0, 2], None),
        (108, vec![0, 0, 0, 2], None),
        (113, sll(0x0800, 4), Some("egress")),
        (113, sll(0x0800, 0), Some("ingress")),
        (113, [sll(0x8100, 0), tag.to_vec()].concat(), Some("ingress")),
        (276, sll2(0x0800, 4), Some("egress")),
        (276, [sll2(0x8100, 0), tag.to_vec()].concat(), Some("ingress")),
    ];
    for (link, header, direction) in cases {
        let frame = [header.clone(), packet.clone()].concat();
        let counted = count(&pcap(link, std::slice::from_ref(&frame), false, false), &[]);
        assert_eq!(sum(&counted, "wire_bytes"), frame.len() as u64, "link type {link}");
        assert_eq!(sum(&counted, "l3_bytes"), packet.len() as u64, "link type {link}");
        assert_eq!(of(&counted, "ipip", "packets"), 1, "link type {link}");
        let rows = counted["rows"].as_array().expect("rows");
        let row = rows.iter().find(|row| row["counters"]["packets"] == 1).expect("the packet");
        assert_eq!(row["direction"].as_str(), direction, "link type {link}");
        let hook = if direction.is_some() { "file" } else { "undirected" };
        assert_eq!(counted["devices"][0]["hooks"]["ingress"], hook, "link type {link}");
    }
    let arp = [sll2(0x0806, 0), vec![0; 28]].concat();
    assert_eq!(of(&count(&pcap(276, &[arp], false, false), &[]), "non_ip", "packets"), 1);
    let other = [vec![7, 0, 0, 0], vec![0; 28]].concat();
    assert_eq!(of(&count(&pcap(0, &[other], false, false), &[]), "non_ip", "packets"), 1);
}

/// Lengths are the original ones whatever the snap length, and no other reason is counted.
#[test]
fn snap_length() {
    let inside = ethernet_ip(&Ip4::new(PODS[0], PODS[1], 6).around(&tcp(0, &payload(1_000))));
    let frame = ethernet_ip(&Ip4::new(A, B, 17).around(&vxlan(4096, &inside)));
    for (captured, class, missing) in
        [(96, "vxlan", 0), (60, "vxlan", 1), (36, "none", 1), (30, "malformed", 1)]
    {
        let file = pcap_cut(1, &[(&frame[..captured], frame.len())], false, false);
        let counted = count(&file, &[]);
        assert_eq!(counted["capture"]["files"][0]["snapped"], 1);
        assert_eq!(sum(&counted, "wire_bytes"), frame.len() as u64);
        assert_eq!(events(&counted, "/malformed/not_captured"), missing, "{captured} bytes");
        assert_eq!(events(&counted, "/malformed/truncated_ip"), 0);
        assert_eq!(of(&counted, class, "packets"), 1, "{captured} bytes");
        if class != "malformed" {
            assert_eq!(sum(&counted, "l3_bytes"), frame.len() as u64 - 14);
        }
    }
}

fn block(kind: u32, body: &[u8], big: bool) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let length = word(body.len() as u32 + 12);
    [&word(kind)[..], &length, &body, &length].concat()
}

/// A section with an Ethernet interface (microseconds) and a raw IP interface `tunl0` (nanoseconds).
fn pcapng(big: bool) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let half = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let section = [&word(0x1a2b_3c4d)[..], &half(1), &half(0), &[0xff; 8]].concat();
    let first = [&half(1)[..], &half(0), &word(0)].concat();
    let name = [&half(2)[..], &half(5), b"tunl0\0\0\0"].concat();
    let resolution = [&half(9)[..], &half(1), &[9, 0, 0, 0]].concat();
    let second = [&half(101)[..], &half(0), &word(0), &name, &resolution, &[0; 4]].concat();
    let packet = |interface: u32, time: u64, bytes: &[u8], flags: u32| {
        let length = word(bytes.len() as u32);
        let time = [word((time >> 32) as u32), word(time as u32)].concat();
        let mut body = [&word(interface)[..], &time, &length, &length, bytes].concat();
        body.resize(body.len().next_multiple_of(4), 0);
        let options = [&half(2)[..], &half(4), &word(flags), &[0; 4]].concat();
        block(6, &[body, options].concat(), big)
    };
    let frame = ethernet_ip(&ipip());
    let raw = ipip();
    let simple = [&word(frame.len() as u32)[..], &frame].concat();
    let old =
        [&half(1)[..], &half(0), &[0; 8], &word(raw.len() as u32), &word(raw.len() as u32), &raw].concat();
    [
        block(0x0a0d_0d0a, &section, big),
        block(1, &first, big),
        block(1, &second, big),
        packet(0, 1_700_000_000_500_000, &frame, 1),
        packet(1, 1_700_000_001_000_000_000, &raw, 2),
        block(3, &simple, big),
        block(2, &old, big),
        block(0x0bad, &[1, 2, 3, 4], big),
    ]
    .concat()
}

#[test]
fn pcapng_with_two_interfaces() {
    for file in [pcapng(false), pcapng(true), [pcapng(false), pcapng(true)].concat()] {
        let sections = if file.len() > pcapng(false).len() { 2 } else { 1 };
        let counted = count(&file, &[]);
        assert_eq!(of(&counted, "ipip", "packets"), 4 * sections);
        let l3 = ipip().len() as u64 * 4 * sections;
        assert_eq!((sum(&counted, "l3_bytes"), sum(&counted, "wire_bytes")), (l3, l3 + 28 * sections));
        let rows: Vec<&Value> = counted["rows"].as_array().expect("rows").iter().collect();
        let find = |direction: Value, device: &str| {
            rows.iter().find(|row| row["direction"] == direction && row["device"] == device)
        };
        assert_eq!(find("egress".into(), "-:tunl0").expect("a packet was sent")["counters"]["packets"], 1);
        assert!(find("ingress".into(), "-").is_some());
        // The simple and the obsolete block have no flags.
        assert!(find(Value::Null, "- (direction unknown)").is_some(), "{rows:?}");
        assert_eq!(counted["taken_seconds"], 1_700_000_001.0);
    }
}

#[test]
fn later_fragments_are_counted_with_the_tunnel_of_the_first() {
    let inside = ethernet_ip(&Ip4::new(PODS[0], PODS[1], 6).around(&tcp(0, &payload(2_000))));
    let datagram = vxlan(77, &inside);
    let first = ethernet_ip(&Ip4::new(A, B, 17).fragment(0, true).around(&datagram[..1_480]));
    let last = ethernet_ip(&Ip4::new(A, B, 17).fragment(1_480, false).around(&datagram[1_480..]));
    let other = ethernet_ip(&Ip4::new(B, A, 17).fragment(1_480, false).around(&payload(64)));
    let quoted = Ip4::new(A, B, 17).around(&datagram[..16]);
    let message = ethernet_ip(&Ip4::new([198, 51, 100, 1], A, 1).around(&ptb4(1_400, &quoted)));
    let counted = count(&pcap(1, &[first, last, other, message], false, false), &["--mtu", "1400"]);
    assert_eq!(of(&counted, "vxlan", "packets"), 2);
    assert_eq!(of(&counted, "none", "packets"), 2);
    assert_eq!(sum(&counted, "outer_ipv4_first"), 1);
    assert_eq!(sum(&counted, "outer_ipv4_last"), 2);
    assert_eq!(events(&counted, "/ptb_icmpv4"), 1);
    assert_eq!(sum(&counted, "oversized"), 1);
    let paths = counted["paths"].as_array().expect("paths");
    assert_eq!(paths.len(), 1, "{paths:?}");
    let path = &paths[0];
    assert_eq!(
        (&path["source"], &path["destination"], &path["vni"]),
        (&"192.0.2.1".into(), &"192.0.2.2".into(), &77.into())
    );
    // Which end is the peer is not known without a direction.
    assert_eq!((&path["peer"], &path["direction"]), (&Value::Null, &Value::Null));
    let counters = &path["counters"];
    assert_eq!(
        (&counters["ptb"], &counters["ptb_mtu"], &counters["outer_last"]),
        (&1.into(), &1_400.into(), &1.into())
    );
}

#[test]
fn additional_vxlan_ports() {
    let inside = ethernet_ip(&Ip4::new(PODS[0], PODS[1], 6).around(&tcp(0, &[])));
    let mut datagram = vxlan(9, &inside);
    datagram[2..4].copy_from_slice(&8472_u16.to_be_bytes());
    let file = pcap(1, &[ethernet_ip(&Ip4::new(A, B, 17).around(&datagram))], false, false);
    assert_eq!(of(&count(&file, &[]), "vxlan", "packets"), 0);
    assert_eq!(of(&count(&file, &["--vxlan-port", "8472"]), "vxlan", "packets"), 1);
}

#[test]
fn events_are_lines() {
    let file = pcap(
        1,
        &[ethernet_ip(&ipip()), ethernet_ip(&Ip4::new(A, B, 17).fragment(8, false).around(&udp(1, 2, &[])))],
        false,
        false,
    );
    let lines = |arguments: &[&str]| -> Vec<String> {
        let output = piped(arguments, &file);
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    };
    let notable = lines(&["-", "--events", "--format", "json"]);
    assert_eq!(notable.len(), 2, "one event, then the report");
    let event: Value = serde_json::from_str(&notable[0]).expect("JSON");
    assert_eq!((&event["frame"], &event["outer"]["fragment"]), (&2.into(), &"last".into()));
    assert_eq!(event["outer"]["fragment_offset"], 8);
    assert_eq!(lines(&["-", "--events=all", "--format", "json"]).len(), 3);
    assert!(lines(&["-", "--events"])[0].contains("frame 2: none 192.0.2.1 → 192.0.2.2"));
    assert_eq!(lines(&["-", "--events=all", "--format", "csv"]).len(), 3, "a header and two rows");
}

#[test]
fn damage_is_reported_with_its_offset_after_the_figures() {
    let frame = ethernet_ip(&ipip());
    let whole = pcap(1, &[frame.clone(), frame.clone()], false, false);
    let second = whole.len() - frame.len() - 16;
    let mut absurd = whole.clone();
    absurd[second + 8..second + 12].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    let mut block = pcapng(false);
    let ends = block.len();
    block[ends - 12] = 0xff;
    let undescribed = {
        let mut file = pcapng(false);
        let at = file.windows(4).rposition(|four| four == [6, 0, 0, 0]).expect("a packet block");
        file[at + 8] = 9;
        file
    };
    for (file, offset, packets) in [
        (&whole[..whole.len() - 1], second, 1),
        (&whole[..second + 3], second, 1),
        (&absurd, second, 1),
        (&block, ends - 16, 4),
        (&undescribed, 0, 1),
    ] {
        let output = piped(&["-", "--format", "json"], file);
        let error = refused(&output);
        assert!(error.contains("cannot read - at byte "), "{error}");
        assert!(offset == 0 || error.contains(&format!("at byte {offset},")), "{error}, not {offset}");
        let counted = json(&output);
        assert_eq!(counted["capture"]["complete"], false, "{error}");
        assert_eq!(sum(&counted, "packets"), packets, "{error}");
        let file = &counted["capture"]["files"][0];
        assert!(file["problems"][0].as_str().is_some_and(|problem| counted["notes"][0] == problem));
    }
    let table = piped(&["-"], &whole[..whole.len() - 1]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("\nincomplete: cannot read - at byte"));
}

#[test]
fn other_file_types_are_refused_with_a_remedy() {
    for (input, words) in [
        (&b""[..], "the file is empty"),
        (b"root:x:0:0:root:/root:/bin/bash\n", "text that starts with \"root:x:0:0:root:\""),
        (b"\x1f\x8b\x08\0\0\0\0\0", "zcat FILE | observer pcap -"),
        (b"\x7fELF\x02\x01\x01\0", "it starts with 7f 45 4c 46"),
        (b"\xd4\xc3\xb2\xa1\x02", "inside the pcap header"),
        (b"\x0a\x0d\x0d\x0a\x1c\0\0\0", "the file ends inside a record"),
    ] {
        let error = refused(&piped(&["-"], input));
        assert!(error.contains(words), "{error}");
    }
    assert!(
        refused(&run(&["golden"]))
            .contains("cannot open golden: it is a directory; name the capture files in it")
    );
    assert!(refused(&run(&["missing.pcap"])).contains("cannot open missing.pcap: No such file"));
}

#[test]
fn unsupported_link_types_do_not_hide_other_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("wifi.pcap");
    std::fs::write(&path, pcap(105, &[vec![0; 30], vec![0; 30]], false, false)).expect("a file");
    let output = run(&[path.to_str().expect("UTF-8"), "table-raw.pcap", "--format", "json"]);
    let error = refused(&output);
    assert!(error.contains("2 frames have the link type 105 (IEEE802_11)"), "{error}");
    let counted = json(&output);
    assert_eq!(counted["capture"]["files"][0]["uncounted"], 2);
    assert_eq!(sum(&counted, "packets"), 11);
}

fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => object.iter().for_each(|(key, value)| {
            found.insert(key.clone());
            keys(value, found);
        }),
        Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

#[test]
fn every_json_field_is_documented() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pcap-json.md");
    let page = std::fs::read_to_string(page).expect("docs/pcap-json.md");
    // The report is the one of `observer stat`; this page has the additions.
    let stat = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/stat-json.md");
    let both = std::fs::read_to_string(stat).expect("docs/stat-json.md") + &page;
    let output = run(&["table-ethernet.pcap", "--paths", "--events=all", "--format", "json"]);
    let mut found = BTreeSet::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        keys(&serde_json::from_str(line).expect("JSON"), &mut found);
    }
    let missing: Vec<&String> = found.iter().filter(|key| !both.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "neither in docs/pcap-json.md nor in docs/stat-json.md: {missing:?}");
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let field = line.split('`').nth(1).expect("a field");
        assert!(found.contains(field), "docs/pcap-json.md documents {field}, which does not exist");
    }
}

#[test]
fn a_fourth_additional_vxlan_port_is_refused() {
    let file = data().join("lab-vxlan-always.pcap");
    let run = |ports: &str| {
        let mut observer = Command::new(env!("CARGO_BIN_EXE_observer"));
        observer.arg("pcap").arg(&file).args(["--vxlan-port", ports]).output().expect("observer")
    };
    assert!(run("4789,8472,8473,8474").status.success(), "three besides 4789 fit");
    let refused = run("8472,8473,8474,8475");
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0));
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(error.contains("cannot use 4 additional VXLAN ports: the maximum is 3"), "{error}");
}

#[test]
fn a_closed_standard_error_does_not_end_in_a_panic() {
    let status = Command::new("sh")
        .args(["-c", "exec \"$1\" pcap /does/not/exist 2>&-", "sh", env!("CARGO_BIN_EXE_observer")])
        .stdout(std::process::Stdio::null())
        .status()
        .expect("sh");
    assert_eq!(status.code(), Some(2));
    // A pipe whose reader has gone.
    let mut child = Command::new(env!("CARGO_BIN_EXE_observer"))
        .args(["pcap", "/does/not/exist"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("observer");
    drop(child.stderr.take());
    assert_eq!(child.wait().expect("wait").code(), Some(2));
}
