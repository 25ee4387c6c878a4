//! Writes families with prometheus-client.

use std::fmt::Error;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::families::{Family, Kind};

/// One family while its samples are written.
pub(super) struct Writer<'a>(MetricEncoder<'a>);

impl<'a> Writer<'a> {
    /// Starts a family. The library appends the unit and the suffix of the type to the name.
    pub(super) fn start(encoder: &'a mut DescriptorEncoder, family: &Family) -> Result<Self, Error> {
        let (suffix, kind) = match family.kind {
            Kind::Counter => ("_total", MetricType::Counter),
            Kind::Gauge => ("", MetricType::Gauge),
            Kind::Histogram => ("", MetricType::Histogram),
            Kind::Info => ("_info", MetricType::Info),
        };
        let name = family.name.strip_suffix(suffix).unwrap_or(family.name);
        const UNITS: [(&str, Unit); 2] = [("_bytes", Unit::Bytes), ("_seconds", Unit::Seconds)];
        let unit = UNITS.iter().find_map(|(suffix, unit)| Some((name.strip_suffix(suffix)?, unit)));
        let (name, unit) = unit.map_or((name, None), |(name, unit)| (name, Some(unit)));
        Ok(Self(encoder.encode_descriptor(name, family.help, unit, kind)?))
    }

    pub(super) fn counter<L, V>(&mut self, labels: &L, value: V) -> Result<(), Error>
    where
        L: EncodeLabelSet,
        V: EncodeCounterValue,
    {
        self.0.encode_family(labels)?.encode_counter::<NoLabelSet, V, f64>(&value, None)
    }

    pub(super) fn gauge<L, V>(&mut self, labels: &L, value: V) -> Result<(), Error>
    where
        L: EncodeLabelSet,
        V: EncodeGaugeValue,
    {
        self.0.encode_family(labels)?.encode_gauge(&value)
    }

    /// A counter of a family without labels.
    pub(super) fn only_counter<V: EncodeCounterValue>(&mut self, value: V) -> Result<(), Error> {
        self.0.encode_counter::<NoLabelSet, V, f64>(&value, None)
    }

    /// A gauge of a family without labels.
    pub(super) fn only_gauge<V: EncodeGaugeValue>(&mut self, value: V) -> Result<(), Error> {
        self.0.encode_gauge(&value)
    }

    pub(super) fn info<L: EncodeLabelSet>(&mut self, labels: &L) -> Result<(), Error> {
        self.0.encode_info(labels)
    }

    /// `buckets`: upper bound and count of that class alone; the last bound is infinite.
    pub(super) fn histogram<L: EncodeLabelSet>(
        &mut self,
        labels: &L,
        sum: f64,
        buckets: &[(f64, u64)],
    ) -> Result<(), Error> {
        let count = buckets.iter().map(|(_, packets)| packets).sum();
        self.0.encode_family(labels)?.encode_histogram::<NoLabelSet>(sum, count, buckets, None)
    }
}
