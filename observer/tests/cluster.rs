//! `observer cluster` with canned responses: the assembled fleet, and the requests it sends.
//!
//! `UPDATE_GOLDEN=1 cargo test -p observer --test cluster` rewrites the files.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use observer::fleet::{Answer, Answers, Client, Fleet, Goal, Login, Query, Sample, Scope, fetch};
use observer::view::cluster::{csv, json, table};
use observer::view::table::TableOptions;
use serde_json::Value;

const TIME: f64 = 1_764_000_000.0;

fn scope() -> Scope {
    Scope { selector: String::new(), window: Duration::from_secs(300), pairs: 3 }
}

fn sample(labels: &str, value: f64) -> Sample {
    let labels = labels.split_whitespace().map(|label| {
        let (name, value) = label.split_once('=').expect("a label");
        (name.to_owned(), value.to_owned())
    });
    Sample { labels: labels.collect(), value, time: TIME }
}

/// Four nodes in the middle of a switch from ipip-always to ipip-crosssubnet; one does not answer.
fn answers() -> Answers {
    const A: &str = "node=edge-a instance=10.10.1.11:9475";
    const B: &str = "node=edge-b instance=10.10.1.12:9475";
    const C: &str = "node=edge-c instance=10.10.2.13:9475";
    const D: &str = "node=edge-d instance=10.10.2.14:9475";
    let rows: Vec<(Query, Vec<(String, f64)>)> = vec![
        (Query::Known, [A, B, C, D].map(|node| (format!("{node} version=0.1.0 kernel=6.12.1"), 1.0)).into()),
        (Query::Answering, [A, B, C].map(|node| (format!("{node} version=0.1.1"), 1.0)).into()),
        (
            Query::Modes,
            vec![
                (format!("{A} family=ipv4 mode=ipip-crosssubnet"), 1.0),
                (format!("{A} family=ipv6 mode=native"), 1.0),
                (format!("{B} family=ipv4 mode=mixed"), 1.0),
                (format!("{C} family=ipv4 mode=ipip-crosssubnet"), 1.0),
            ],
        ),
        (Query::Wire, [(A, 1e9), (B, 4e8), (C, 2e8)].map(|(node, rate)| (node.to_owned(), rate)).into()),
        (Query::L3, [(A, 9.9e8), (B, 3.9e8), (C, 1.9e8)].map(|(node, rate)| (node.to_owned(), rate)).into()),
        (Query::Overhead, [(A, 5e6), (B, 6e6), (C, 2e6)].map(|(node, rate)| (node.to_owned(), rate)).into()),
        (Query::Fragments, vec![(B.to_owned(), 12.5)]),
        (Query::WouldDrop, vec![(A.to_owned(), 0.0), (B.to_owned(), 3.0)]),
        (Query::Ptb, vec![(B.to_owned(), 2.5)]),
        (Query::HooksLost, vec![(C.to_owned(), 1.0)]),
        (Query::Overflow, vec![(A.to_owned(), 0.0), (C.to_owned(), 0.5)]),
        (
            Query::Routes,
            vec![
                (format!("{A} family=ipv4 scope=same-subnet encapsulation=none"), 4.0),
                (format!("{A} family=ipv4 scope=cross-subnet encapsulation=ipip"), 6.0),
                (format!("{A} family=ipv6 scope=cross-subnet encapsulation=none"), 6.0),
                (format!("{B} family=ipv4 scope=same-subnet encapsulation=none"), 1.0),
                (format!("{B} family=ipv4 scope=same-subnet encapsulation=ipip"), 3.0),
                (format!("{B} family=ipv4 scope=cross-subnet encapsulation=ipip"), 6.0),
                (format!("{B} family=ipv4 scope=unknown encapsulation=ipip"), 1.0),
                (format!("{C} family=ipv4 scope=cross-subnet encapsulation=ipip"), 8.0),
                (format!("{C} family=ipv4 scope=same-subnet encapsulation=ipip"), 0.0),
            ],
        ),
        (
            Query::PairsL3,
            vec![
                (format!("{B} peer=10.10.2.99 encapsulation=ipip"), 5e6),
                (format!("{A} peer=10.10.2.13 encapsulation=ipip"), 5e7),
                (format!("{C} peer=10.10.1.11 encapsulation=ipip"), 4e7),
            ],
        ),
        (
            Query::PairsOverhead,
            vec![
                (format!("{A} peer=10.10.2.13 encapsulation=ipip"), 7e5),
                (format!("{C} peer=10.10.1.11 encapsulation=ipip"), 6e5),
            ],
        ),
    ];
    rows.into_iter()
        .map(|(query, rows)| {
            let samples = rows.into_iter().map(|(labels, value)| sample(&labels, value)).collect();
            (query, Answer { samples, warnings: Vec::new() })
        })
        .collect()
}

fn fleet() -> Fleet {
    let goal: Goal = "ipip-crosssubnet".parse().expect("a mode");
    Fleet::of(&answers(), &scope(), Some(goal)).expect("nodes")
}

fn compare(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden").join(name);
    observer_testing::golden::compare(&path, text);
}

#[test]
fn every_format_matches_its_golden_file() {
    let options = TableOptions::default();
    compare("cluster.txt", &table::report(&fleet(), &options));
    compare("cluster-80.txt", &table::report(&fleet(), &TableOptions { width: 80, ..options }));
    compare("cluster.json", &format!("{:#}\n", json::report(&fleet())));
    compare("cluster.csv", &csv::nodes(&fleet()));
}

#[test]
fn the_largest_overhead_comes_first_and_unknown_last() {
    let names: Vec<String> = fleet().nodes.into_iter().map(|node| node.name).collect();
    assert_eq!(names, ["edge-b", "edge-c", "edge-a", "edge-d"]);
}

#[test]
fn unknown_figures_are_not_zero() {
    let fleet = fleet();
    let silent = fleet.nodes.last().expect("nodes");
    assert!(!silent.answering && silent.version == "0.1.0");
    assert_eq!((silent.traffic.wire, silent.fragments, silent.would_drop), (None, None, None));
    // A node that counts and has no fragments has none.
    assert_eq!(fleet.nodes[1].fragments, Some(0.0));
    assert_eq!(json::report(&fleet)["nodes"][3]["traffic"]["overhead_ratio"], Value::Null);
}

#[test]
fn progress_depends_on_the_goal() {
    // goal, blocks done, blocks, nodes done
    let cases = [
        ("ipip-crosssubnet", 31, 34, 2),
        ("ipip-always", 29, 34, 1),
        ("native", 11, 34, 0),
        ("vxlan-crosssubnet", 5, 34, 0),
    ];
    for (goal, blocks_done, blocks, nodes_done) in cases {
        let goal: Goal = goal.parse().expect("a mode");
        let fleet = Fleet::of(&answers(), &scope(), Some(goal)).expect("nodes");
        let progress = fleet.progress.expect("requested");
        assert_eq!((progress.blocks_done, progress.blocks), (blocks_done, blocks), "{}", goal.label());
        assert_eq!((progress.nodes_done, progress.nodes), (nodes_done, 3), "{}", goal.label());
    }
    assert!("bgp".parse::<Goal>().is_err());
}

#[test]
fn nodes_with_the_same_address_in_two_clusters_are_separate() {
    let mut answers = Answers::new();
    let rows = ["cluster=x instance=[fd00::1]:9475 version=1", "cluster=y instance=[fd00::1]:9475 version=1"];
    let samples = rows.map(|row| sample(row, 1.0)).into();
    answers.insert(Query::Known, Answer { samples, warnings: vec!["a store is away".to_owned()] });
    let fleet = Fleet::of(&answers, &scope(), None).expect("nodes");
    assert_eq!(fleet.nodes.len(), 2);
    assert_eq!(
        (fleet.nodes[0].name.as_str(), fleet.nodes[0].address.as_str()),
        ("[fd00::1]:9475", "fd00::1")
    );
    let text = table::report(&fleet, &TableOptions::default());
    assert!(text.contains("CLUSTER") && text.contains("warning of Prometheus: a store is away"), "{text}");
    assert!(Fleet::of(&Answers::new(), &scope(), None).is_none());
}

#[test]
fn the_documentation_has_every_field() {
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
    let page = include_str!("../../docs/cluster-json.md");
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
        .collect();
    let mut written = BTreeSet::new();
    keys(&json::report(&fleet()), &mut written);
    // Keys of `modes` are address families.
    written.retain(|key| !matches!(key.as_str(), "ipv4" | "ipv6"));
    assert_eq!(written, documented);
}

/// A received request.
struct Request {
    line: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// Serves requests with `respond` until the test ends; returns the URL and the received requests.
fn serve(respond: impl Fn(&Request) -> (u16, String) + Send + 'static) -> (String, mpsc::Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Some(request) = read(&stream) else { continue };
            let (status, body) = respond(&request);
            let _ = write!(
                &stream,
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = sender.send(request);
        }
    });
    (url, requests)
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { line: line.trim_end().to_owned(), headers, body: String::from_utf8(body).ok()? })
}

fn vector(answer: &Answer) -> String {
    let result: Vec<Value> = answer
        .samples
        .iter()
        .map(|sample| serde_json::json!({"metric": sample.labels, "value": [sample.time, sample.value.to_string()]}))
        .collect();
    serde_json::json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string()
}

/// The form's fields.
fn form(body: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'+' => bytes.push(b' '),
                b'%' => {
                    let hex: Vec<u8> = rest.by_ref().take(2).collect();
                    let hex = std::str::from_utf8(&hex).expect("digits");
                    bytes.push(u8::from_str_radix(hex, 16).expect("a byte"));
                }
                other => bytes.push(other),
            }
        }
        String::from_utf8(bytes).expect("text")
    };
    body.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (decode(k), decode(v))).collect()
}

fn client(url: &str, login: &Login) -> Client {
    Client::new(url, login, None, Duration::from_secs(10)).expect("a client")
}

#[test]
fn all_queries_are_evaluated_at_the_same_time() {
    let canned = answers();
    let (url, requests) = serve(move |request| {
        let promql = &form(&request.body)["query"];
        let query = Query::ALL.into_iter().find(|query| query.promql(&scope()) == *promql);
        (200, vector(&canned[&query.expect("a known query")]))
    });
    let login = Login::Basic("Aladdin".to_owned(), "open sesame".to_owned());
    let fetched = fetch(&client(&format!("{url}/path/"), &login), &scope(), None).expect("a fleet");
    assert_eq!(fetched, Fleet { progress: None, ..fleet() });
    let requests: Vec<Request> = requests.try_iter().collect();
    assert_eq!(requests.len(), Query::ALL.len());
    for (nth, request) in requests.iter().enumerate() {
        assert_eq!(request.line, "POST /path/api/v1/query HTTP/1.1");
        // The example of RFC 7617.
        assert_eq!(request.headers["authorization"], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let time = form(&request.body).get("time").cloned();
        assert_eq!(time, (nth > 0).then(|| format!("{TIME:.3}")));
    }
}

#[test]
fn a_token_is_sent_unchanged() {
    let (url, requests) = serve(|_| (200, vector(&Answer::default())));
    client(&url, &Login::Bearer("t.o-k".to_owned())).query("up", None).expect("a response");
    assert_eq!(requests.recv().expect("a request").headers["authorization"], "Bearer t.o-k");
}

#[test]
fn http_errors_have_a_remedy() {
    let error = r#"{"status":"error","errorType":"bad_data","error":"parse error: unexpected }"}"#;
    // status, body, part of the error
    let cases = [
        (401, "Unauthorized", "HTTP status 401; give --user"),
        (404, "not found", "HTTP status 404; check whether the URL needs a path"),
        (400, error, "parse error: unexpected } (HTTP status 400); check that it is a Prometheus"),
        (200, "<html>", "not a response of the Prometheus API"),
        (
            503,
            r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
            "HTTP status 503; check for a proxy",
        ),
    ];
    for (status, body, expected) in cases {
        let (url, _requests) = serve(move |_| (status, body.to_owned()));
        let error = client(&url, &Login::None).query("up", None).expect_err(body).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_missing_server_and_missing_nodes_are_errors() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let error =
        client(&format!("http://{free}"), &Login::None).query("up", None).expect_err("nothing listens");
    assert!(error.to_string().contains("check that it is running"), "{error}");

    let (url, _requests) = serve(|_| (200, vector(&Answer::default())));
    let scope = Scope { selector: "cluster=\"x\"".to_owned(), ..scope() };
    let error = fetch(&client(&url, &Login::None), &scope, None).expect_err("no series");
    assert!(error.to_string().contains("no series of Observer with cluster=\"x\""), "{error}");
}

#[test]
fn a_server_that_does_not_respond_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let client = Client::new(&url, &Login::None, None, Duration::from_millis(300)).expect("a client");
    let error = client.query("up", None).expect_err("no answer").to_string();
    assert!(error.contains("increase --timeout"), "{error}");
}
