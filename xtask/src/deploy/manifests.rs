//! Checks beyond the schemas: least privilege, the Prometheus operator's resources, matching names.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{Rendered, container, text};

/// Capabilities of the exporter and the inspection.
const CAPABILITIES: [&str; 3] = ["BPF", "NET_ADMIN", "PERFMON"];

/// Checks every rendered folder.
///
/// # Errors
/// The first failed check.
pub fn check(all: &[Rendered]) -> Result<()> {
    for rendered in all {
        one(rendered).with_context(|| format!("the check of {} failed", rendered.name))?;
    }
    Ok(())
}

fn one(rendered: &Rendered) -> Result<()> {
    let exporter = rendered.one("DaemonSet")?;
    let inspection = rendered.one("CronJob")?;
    for object in [exporter, inspection] {
        let own_profile = rendered.name == "components/seccomp";
        privileges(container(object)?, own_profile)
            .with_context(|| text(object, "/kind").unwrap_or("?").to_owned())?;
    }
    daemon(exporter)?;
    namespaces(rendered)?;
    rights(rendered)?;
    if rendered.name == "components/without-operator" {
        ensure!(rendered.of_kind("PodMonitor").count() == 0, "it still has a PodMonitor");
        ensure!(rendered.of_kind("PrometheusRule").count() == 0, "it still has a PrometheusRule");
        return Ok(());
    }
    monitor(rendered.one("PodMonitor")?, exporter)?;
    let expected = if rendered.name.starts_with("overlays/") { 2 } else { 1 };
    ensure!(rendered.of_kind("PrometheusRule").count() == expected, "expected {expected} PrometheusRule");
    rendered.of_kind("PrometheusRule").try_for_each(rule)?;
    if rendered.name == "grafana" {
        let data = rendered.one("ConfigMap")?["data"].as_object().context("no data")?;
        ensure!(data.len() == 2, "expected two dashboards in the ConfigMap");
    }
    Ok(())
}

/// Compares the complete `securityContext`.
fn privileges(container: &Value, own_profile: bool) -> Result<()> {
    let profile = match own_profile {
        true => json!({"type": "Localhost", "localhostProfile": "observer.json"}),
        false => json!({"type": "RuntimeDefault"}),
    };
    let expected = json!({
        "runAsUser": 0,
        "runAsGroup": 0,
        "privileged": false,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"], "add": CAPABILITIES},
        "seccompProfile": profile,
    });
    let found = &container["securityContext"];
    ensure!(*found == expected, "securityContext is {found}, expected {expected}");
    for limit in ["/resources/limits/memory", "/resources/limits/cpu", "/resources/requests/memory"] {
        text(container, limit)?;
    }
    let mounts: Vec<&str> = container["volumeMounts"]
        .as_array()
        .context("no mounts")?
        .iter()
        .filter(|mount| mount["readOnly"] != true)
        .filter_map(|mount| mount["mountPath"].as_str())
        .collect();
    ensure!(mounts == ["/sys/fs/bpf"], "writable mounts are {mounts:?}");
    Ok(())
}

fn daemon(exporter: &Value) -> Result<()> {
    let pod = &exporter["spec"]["template"]["spec"];
    ensure!(pod["hostNetwork"] == true, "the exporter does not use the host network");
    ensure!(pod["automountServiceAccountToken"] == false, "the exporter has a token");
    ensure!(
        pod["tolerations"] == json!([{"operator": "Exists"}]),
        "the DaemonSet does not tolerate all taints"
    );
    ensure!(
        pod["hostPID"].is_null() && pod["hostIPC"].is_null(),
        "the exporter shares the host's PID or IPC namespace"
    );
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let port = text(container(exporter)?, &format!("/{probe}/httpGet/port"))?;
        ensure!(port == "metrics", "{probe} uses port {port}");
    }
    ensure!(exporter["spec"]["updateStrategy"]["type"] == "RollingUpdate", "no rolling update");
    Ok(())
}

/// Namespaced objects are in the created namespace, and every service account in use exists.
fn namespaces(rendered: &Rendered) -> Result<()> {
    const CLUSTER: [&str; 4] = ["Namespace", "PriorityClass", "ClusterRole", "ClusterRoleBinding"];
    let namespace = text(rendered.one("Namespace")?, "/metadata/name")?;
    for object in
        rendered.objects.iter().filter(|object| !CLUSTER.contains(&object["kind"].as_str().unwrap_or("")))
    {
        ensure!(
            object["metadata"]["namespace"] == namespace,
            "{} is not in namespace {namespace}",
            object["kind"]
        );
    }
    let subject = text(rendered.one("ClusterRoleBinding")?, "/subjects/0/namespace")?;
    ensure!(subject == namespace, "the ClusterRoleBinding names an account in {subject}");
    let accounts: BTreeSet<&str> = rendered
        .of_kind("ServiceAccount")
        .filter_map(|account| account["metadata"]["name"].as_str())
        .collect();
    let used = [
        text(rendered.one("DaemonSet")?, "/spec/template/spec/serviceAccountName")?,
        text(rendered.one("CronJob")?, "/spec/jobTemplate/spec/template/spec/serviceAccountName")?,
    ];
    ensure!(accounts == BTreeSet::from(used), "service accounts are {accounts:?}, used are {used:?}");
    Ok(())
}

/// Read-only access to the resources that `observer doctor` reads.
fn rights(rendered: &Rendered) -> Result<()> {
    let rules = rendered.one("ClusterRole")?["rules"].as_array().context("no rules")?.clone();
    for rule in &rules {
        ensure!(rule["verbs"] == json!(["get", "list"]), "verbs are {}", rule["verbs"]);
        let resources = rule["resources"].as_array().context("no resources")?;
        let known = ["nodes", "ippools", "felixconfigurations", "blockaffinities"];
        ensure!(
            resources.iter().all(|name| known.iter().any(|known| name == known)),
            "resources are {resources:?}"
        );
    }
    Ok(())
}

/// The fields of a PodMonitor, and that it selects the exporter.
fn monitor(monitor: &Value, exporter: &Value) -> Result<()> {
    ensure!(monitor["apiVersion"] == "monitoring.coreos.com/v1", "apiVersion {}", monitor["apiVersion"]);
    keys(&monitor["spec"], &["jobLabel", "selector", "podMetricsEndpoints"])?;
    let labels = &exporter["spec"]["template"]["metadata"]["labels"];
    let selector = monitor["spec"]["selector"]["matchLabels"].as_object().context("no selector")?;
    ensure!(selector.iter().all(|(name, value)| labels[name] == *value), "it does not select {labels}");
    let job = text(monitor, "/spec/jobLabel")?;
    ensure!(labels[job] == "observer", "the job is not called observer, as the alerts expect");
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    keys(endpoint, &["port", "path", "interval", "scrapeTimeout", "relabelings"])?;
    let ports = container(exporter)?["ports"].as_array().context("no ports")?.clone();
    ensure!(
        ports.iter().any(|port| port["name"] == endpoint["port"]),
        "there is no port {}",
        endpoint["port"]
    );
    let relabelings = endpoint["relabelings"].as_array().context("no relabelings")?;
    let node = relabelings.iter().find(|rule| rule["targetLabel"] == "node").context("no label node")?;
    ensure!(node["sourceLabels"] == json!(["__meta_kubernetes_pod_node_name"]), "node is {node}");
    Ok(())
}

/// The fields of a PrometheusRule; promtool checks its content.
fn rule(rule: &Value) -> Result<()> {
    ensure!(rule["apiVersion"] == "monitoring.coreos.com/v1", "apiVersion {}", rule["apiVersion"]);
    keys(&rule["spec"], &["groups"])?;
    for group in rule["spec"]["groups"].as_array().context("no groups")? {
        keys(group, &["name", "rules", "interval"])?;
        for rule in group["rules"].as_array().context("no rules")? {
            if rule["record"].is_string() {
                keys(rule, &["record", "expr", "labels"])?;
                continue;
            }
            let name = text(rule, "/alert")?;
            keys(rule, &["alert", "expr", "for", "labels", "annotations"])?;
            text(rule, "/for").with_context(|| format!("{name} has no `for`"))?;
            let severity = text(rule, "/labels/severity")?;
            ensure!(["info", "warning", "critical"].contains(&severity), "severity of {name} is {severity}");
            for annotation in ["summary", "description", "runbook"] {
                text(rule, &format!("/annotations/{annotation}")).with_context(|| name.to_owned())?;
            }
        }
    }
    Ok(())
}

/// Rejects keys other than these.
fn keys(object: &Value, known: &[&str]) -> Result<()> {
    let object = object.as_object().context("not an object")?;
    for key in object.keys() {
        ensure!(known.contains(&key.as_str()), "unknown field {key}");
    }
    Ok(())
}
