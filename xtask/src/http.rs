//! An HTTP request from a network namespace, for tests: no TLS, no redirects.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};

use observer_lab::netns;

/// Timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Status and body of a response.
pub struct Response {
    /// The status, such as 200.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Sends a request to `server` from the namespace `netns`: a POST if there is a form, else a GET.
///
/// # Errors
/// There is no response, or it is not HTTP.
pub fn request(netns: &str, server: SocketAddr, path: &str, form: Option<&str>) -> Result<Response> {
    let text = match form {
        None => format!("GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n"),
        Some(form) => format!(
            "POST {path} HTTP/1.0\r\nHost: {server}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{form}",
            form.len()
        ),
    };
    let response = netns::within(netns, || {
        let mut stream = TcpStream::connect_timeout(&server, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(text.as_bytes())?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    })
    .with_context(|| format!("no response from {server}{path} in {netns}"))?;
    let response = String::from_utf8_lossy(&response);
    let (head, body) = response.split_once("\r\n\r\n").context("the response has no end of its headers")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Response { status: status.with_context(|| format!("no status in {head}"))?, body: body.to_owned() })
}

/// Percent-encodes a value of a form.
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
