//! Renders manifests with `kubectl kustomize` and validates them against the schemas of Kubernetes.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{OVERLAYS, folder, tools};
use crate::shell;

/// Kubernetes versions to validate for: the oldest supported and the newest known.
const VERSIONS: [&str; 2] = ["1.29", "1.37"];

/// Python: validate the built-in kinds of a YAML file strictly, and print all its documents as JSON.
const VALIDATE: &str = r#"
import json, sys, yaml, kubernetes_validate
documents = [d for d in yaml.safe_load_all(open(sys.argv[1])) if d]
for d in documents:
    if "coreos.com" in d["apiVersion"]:
        continue
    for version in sys.argv[2:]:
        try:
            kubernetes_validate.validate(d, version, strict=True)
        except Exception as error:
            sys.exit(f"{d['kind']} {d['metadata']['name']} against Kubernetes {version}: {error}")
json.dump(documents, sys.stdout)
"#;

/// Python: read a dashboard into Grafana's own model and write it again. A difference is an unknown field
/// or a wrong type.
const MODEL: &str = r#"
import json, sys
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard
plugins.register_default_plugins()
def differ(ours, theirs, path):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in ours:
            if key not in theirs:
                yield f"{path}.{key} is unknown"
            else:
                yield from differ(ours[key], theirs[key], f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs)):
            yield from differ(one, other, f"{path}[{index}]")
    elif ours != theirs:
        yield f"{path}: {ours!r} became {theirs!r}"
for name in sys.argv[1:]:
    ours = json.load(open(name))
    theirs = json.loads(json.dumps(dashboard.Dashboard.from_json(ours), cls=JSONEncoder))
    found = list(differ(ours, theirs, name))
    if found:
        sys.exit("; ".join(found[:5]))
"#;

/// Checks the dashboards with Grafana's own model.
///
/// # Errors
/// An unknown field or a wrong type.
pub fn dashboards() -> Result<()> {
    let files = super::dashboards::all().map(|(name, _)| folder().join("grafana").join(name));
    shell::output(Command::new(tools::python()?).arg("-c").arg(MODEL).args(&files))
        .context("a dashboard does not match Grafana's model")?;
    shell::step("deploy", "dashboards match Grafana's model");
    Ok(())
}

/// A rendered folder.
pub struct Rendered {
    /// Its path in `deploy`.
    pub name: String,
    /// Its objects.
    pub objects: Vec<Value>,
}

impl Rendered {
    /// The objects of a kind.
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> + use<'_> {
        let kind = kind.to_owned();
        self.objects.iter().filter(move |object| object["kind"] == *kind)
    }

    /// The only object of a kind.
    ///
    /// # Errors
    /// There is none or more than one.
    pub fn one(&self, kind: &str) -> Result<&Value> {
        let mut found = self.of_kind(kind);
        match (found.next(), found.next()) {
            (Some(object), None) => Ok(object),
            (None, _) => bail!("{} has no {kind}", self.name),
            (Some(_), Some(_)) => bail!("{} has more than one {kind}", self.name),
        }
    }
}

/// The container of a DaemonSet or CronJob.
///
/// # Errors
/// It has none.
pub fn container(object: &Value) -> Result<&Value> {
    let path = match object["kind"].as_str() {
        Some("CronJob") => "/spec/jobTemplate/spec/template/spec/containers/0",
        _ => "/spec/template/spec/containers/0",
    };
    object.pointer(path).with_context(|| format!("no container at {path}"))
}

/// Every folder, and the base with each component.
///
/// # Errors
/// The first folder that does not render or is not valid.
pub fn all() -> Result<Vec<Rendered>> {
    let mut rendered = Vec::new();
    for overlay in OVERLAYS {
        rendered.push(one(overlay, &folder().join(overlay))?);
    }
    for component in ["components/without-operator", "components/seccomp", "grafana"] {
        rendered.push(with_component(component)?);
    }
    Ok(rendered)
}

/// The base without components.
///
/// # Errors
/// It does not render or is not valid.
pub fn base() -> Result<Rendered> {
    one("base", &folder().join("base"))
}

/// The base with a component.
///
/// # Errors
/// It does not render or is not valid.
pub fn with_component(component: &str) -> Result<Rendered> {
    // Inside `deploy`, because kustomize accepts relative paths only.
    let scratch = folder().join(format!(".check-{}", std::process::id()));
    let _cleanup = crate::vm::kernels::RemoveOnDrop(scratch.clone());
    fs::create_dir_all(&scratch)?;
    let text = format!("namespace: observer\nresources: [../base]\ncomponents: [../{component}]\n");
    fs::write(scratch.join("kustomization.yaml"), text)?;
    one(component, &scratch)
}

fn one(name: &str, path: &Path) -> Result<Rendered> {
    let yaml = shell::output(Command::new(tools::kubectl()?).arg("kustomize").arg(path))
        .with_context(|| format!("cannot render {name}"))?;
    let file = std::env::temp_dir().join(format!("observer-{}.yaml", std::process::id()));
    let _cleanup = crate::vm::kernels::RemoveOnDrop(file.clone());
    fs::write(&file, yaml)?;
    let json =
        shell::output(Command::new(tools::python()?).arg("-c").arg(VALIDATE).arg(&file).args(VERSIONS))
            .with_context(|| format!("{name} is not valid"))?;
    let objects: Vec<Value> = serde_json::from_str(&json).context("the validator printed no JSON")?;
    shell::step(
        "deploy",
        &format!("{name}: {} objects, valid for Kubernetes {}", objects.len(), VERSIONS.join(" and ")),
    );
    Ok(Rendered { name: name.to_owned(), objects })
}
