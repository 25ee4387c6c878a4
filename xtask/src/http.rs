//! One HTTP request from inside a network namespace, for tests: no TLS, no redirects.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};

use observer_lab::netns;

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The status and the body of an answer.
pub struct Answer {
    /// As in `200`.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Asks `server`, as seen from the namespace `netns`; with a form it is a POST.
///
/// # Errors
/// Nobody answers, or not with HTTP.
pub fn ask(netns: &str, server: SocketAddr, path: &str, form: Option<&str>) -> Result<Answer> {
    let request = match form {
        None => format!("GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n"),
        Some(form) => format!(
            "POST {path} HTTP/1.0\r\nHost: {server}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{form}",
            form.len()
        ),
    };
    let said = netns::within(netns, || {
        let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut said = Vec::new();
        stream.read_to_end(&mut said)?;
        Ok(said)
    })
    .with_context(|| format!("no answer from {server}{path} in {netns}"))?;
    let said = String::from_utf8_lossy(&said);
    let (head, body) = said.split_once("\r\n\r\n").context("the answer has no end of its head")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Answer { status: status.with_context(|| format!("no status in {head}"))?, body: body.to_owned() })
}

/// A value for a form.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
