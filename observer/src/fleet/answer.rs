//! Responses of Prometheus' HTTP API to instant queries.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The labels of a series.
pub type Labels = BTreeMap<String, String>;

/// One element of a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels.
    pub labels: Labels,
    /// Its value. Samples that are NaN or infinite are left out.
    pub value: f64,
    /// Evaluation time, seconds since the Unix epoch by the server's clock.
    pub time: f64,
}

impl Sample {
    /// The value of a label; empty if there is none, as in PromQL.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// A vector, with the server's warnings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The samples.
    pub samples: Vec<Sample>,
    /// Why it may be incomplete.
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
    /// Parses the body of a response of `/api/v1/query`.
    ///
    /// # Errors
    /// The server's error, or why it is not a vector.
    pub fn parse(body: &str) -> Result<Self, String> {
        let envelope: Envelope = serde_json::from_str(body)
            .map_err(|error| format!("this is not a response of the Prometheus API: {error}"))?;
        if envelope.status != "success" {
            return Err(envelope.error.unwrap_or_else(|| format!("status `{}`", envelope.status)));
        }
        let data = envelope.data.ok_or("the response has no data")?;
        if data.kind != "vector" {
            return Err(format!("the response is a {}, not a vector", data.kind));
        }
        let elements: Vec<Element> = serde_json::from_value(data.result)
            .map_err(|error| format!("the response is not an instant vector: {error}"))?;
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
    fn a_vector_is_parsed_without_nan_and_infinity() {
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
    fn other_responses_are_errors() {
        let cases = [
            ("<html>", "not a response"),
            ("{}", "not a response"),
            (r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#, "parse error"),
            (r#"{"status":"success"}"#, "no data"),
            (r#"{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}"#, "is a scalar"),
            (r#"{"status":"success","data":{"resultType":"vector","result":[1]}}"#, "not an instant vector"),
        ];
        for (body, expected) in cases {
            let error = Answer::parse(body).expect_err(body);
            assert!(error.contains(expected), "{body}: {error}");
        }
    }
}
