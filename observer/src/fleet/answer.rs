//! What Prometheus' HTTP API answers to an instant query.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The labels of a series.
pub type Labels = BTreeMap<String, String>;

/// One element of a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels.
    pub labels: Labels,
    /// Its value; never NaN or infinite: such samples are left out.
    pub value: f64,
    /// When it was evaluated, in seconds since the Unix epoch by the server's clock.
    pub time: f64,
}

impl Sample {
    /// The value of a label; empty where there is none, as Prometheus sees it.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// A vector, and what the server remarked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The samples.
    pub samples: Vec<Sample>,
    /// Why the answer may be incomplete.
    pub warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Envelope {
    status: String,
    data: Option<Data>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Element {
    metric: Labels,
    value: (f64, String),
}

impl Answer {
    /// Reads the body of an answer (`/api/v1/query`).
    ///
    /// # Errors
    /// It is no such answer, or the server's own error.
    pub fn parse(body: &str) -> Result<Self, String> {
        let envelope: Envelope =
            serde_json::from_str(body).map_err(|error| format!("the answer is no API answer: {error}"))?;
        if envelope.status != "success" {
            return Err(envelope.error.unwrap_or_else(|| format!("status `{}`", envelope.status)));
        }
        let data = envelope.data.ok_or("the answer has no data")?;
        if data.kind != "vector" {
            return Err(format!("the answer is a {}, not a vector", data.kind));
        }
        let elements: Vec<Element> = serde_json::from_value(data.result)
            .map_err(|error| format!("the answer holds no instant vector: {error}"))?;
        let samples = elements.into_iter().filter_map(|element| {
            let value: f64 = element.value.1.parse().ok()?;
            value.is_finite().then_some(Sample { labels: element.metric, value, time: element.value.0 })
        });
        Ok(Self { samples: samples.collect(), warnings: envelope.warnings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector() {
        let body = r#"{"status":"success","warnings":["a store is away"],"data":{"resultType":"vector","result":[
            {"metric":{"node":"a"},"value":[1700000000.5,"12.5"]},
            {"metric":{},"value":[1700000000.5,"NaN"]},
            {"metric":{},"value":[1700000000.5,"+Inf"]}]}}"#;
        let answer = Answer::parse(body).expect("an answer");
        assert_eq!(answer.samples.len(), 1);
        assert_eq!((answer.samples[0].label("node"), answer.samples[0].label("cluster")), ("a", ""));
        assert!((answer.samples[0].value - 12.5).abs() < f64::EPSILON);
        assert_eq!(answer.warnings, ["a store is away"]);
    }

    #[test]
    fn what_is_no_vector() {
        let cases = [
            ("<html>", "is no API answer"),
            ("{}", "is no API answer"),
            (r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#, "parse error"),
            (r#"{"status":"success"}"#, "no data"),
            (r#"{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}"#, "is a scalar"),
            (r#"{"status":"success","data":{"resultType":"vector","result":[1]}}"#, "no instant vector"),
        ];
        for (body, said) in cases {
            let error = Answer::parse(body).expect_err(body);
            assert!(error.contains(said), "{body}: {error}");
        }
    }
}
