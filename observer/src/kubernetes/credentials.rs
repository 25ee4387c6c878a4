//! Address and credentials of the API, from a pod's service account or from a kubeconfig.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::Value;

use super::KubernetesError;

/// Mount point of a pod's service account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Address and credentials of the API.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// `https://HOST:PORT` without a trailing slash.
    pub server: String,
    /// Certificates of the server's authorities, PEM.
    pub ca: Option<Vec<u8>>,
    /// A bearer token.
    pub token: Option<String>,
    /// Client certificate and its key, PEM.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
    /// The server's certificate is not verified, as set in the kubeconfig.
    pub insecure: bool,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Secrets must not appear in logs.
        f.debug_struct("Credentials").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Credentials {
    /// A server without credentials.
    #[must_use]
    pub fn of(server: String) -> Self {
        Self { server, ..Self::default() }
    }

    /// Reads `--kubeconfig`, else `KUBECONFIG`, else the pod's service account, else `~/.kube/config`.
    ///
    /// # Errors
    /// There are no credentials, or they cannot be used.
    pub fn find(kubeconfig: Option<&Path>) -> Result<Self, KubernetesError> {
        if let Some(path) = kubeconfig {
            return Self::from_file(path);
        }
        let environment = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
        if let Some(path) = environment {
            return Self::from_file(Path::new(&path));
        }
        if let (Ok(host), Ok(port)) =
            (std::env::var("KUBERNETES_SERVICE_HOST"), std::env::var("KUBERNETES_SERVICE_PORT"))
        {
            return Self::of_pod(&host, &port);
        }
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"));
        match home.filter(|path| path.exists()) {
            Some(path) => Self::from_file(&path),
            None => Err(KubernetesError::new(
                "find",
                "credentials for the Kubernetes API",
                "not running in a pod, KUBECONFIG is not set, and ~/.kube/config does not exist",
                "give a file with --kubeconfig",
            )),
        }
    }

    fn of_pod(host: &str, port: &str) -> Result<Self, KubernetesError> {
        let read = |name: &str| read(&Path::new(ACCOUNT).join(name));
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Ok(Self {
            server: format!("https://{host}:{port}"),
            ca: Some(read("ca.crt")?),
            token: Some(String::from_utf8_lossy(&read("token")?).trim().to_owned()),
            ..Self::default()
        })
    }

    fn from_file(path: &Path) -> Result<Self, KubernetesError> {
        let text = String::from_utf8_lossy(&read(path)?).into_owned();
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, folder).map_err(|cause| {
            KubernetesError::new(
                "use",
                format!("kubeconfig {}", path.display()),
                cause,
                "check it with `kubectl config view --minify`",
            )
        })
    }

    /// Parses a kubeconfig. Its relative file names are relative to `folder`.
    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let config: Value = serde_norway::from_str(text).map_err(|error| error.to_string())?;
        let named = |list: &str, part: &str, name: &str| {
            let entries = config[list].as_array().into_iter().flatten();
            let found = entries.clone().find(|entry| entry["name"] == name).map(|entry| entry[part].clone());
            found.ok_or_else(|| format!("it has no {part} `{name}`"))
        };
        let current = config["current-context"].as_str().filter(|name| !name.is_empty());
        let context = named("contexts", "context", current.ok_or("it has no current context")?)?;
        let cluster = named("clusters", "cluster", context["cluster"].as_str().unwrap_or_default())?;
        let user = match context["user"].as_str() {
            Some(name) => named("users", "user", name)?,
            None => Value::Null,
        };
        for method in ["exec", "auth-provider"] {
            if !user[method].is_null() {
                return Err(format!(
                    "its user logs in with another program (`{method}`), which is not supported; use a token from `kubectl create token`"
                ));
            }
        }
        let token = match user["tokenFile"].as_str() {
            Some(file) => Some(text_of(&folder.join(file))?),
            None => user["token"].as_str().map(str::to_owned),
        };
        let client = match pem(&user, "client-certificate", folder)? {
            Some(certificate) => Some((
                certificate,
                pem(&user, "client-key", folder)?.ok_or("its client certificate has no key")?,
            )),
            None => None,
        };
        Ok(Self {
            server: cluster["server"]
                .as_str()
                .ok_or("its cluster has no server")?
                .trim_end_matches('/')
                .to_owned(),
            ca: pem(&cluster, "certificate-authority", folder)?,
            insecure: cluster["insecure-skip-tls-verify"].as_bool().unwrap_or(false),
            token,
            client,
        })
    }
}

/// The value of `FIELD-data` in base64, or of the file given by `FIELD`.
fn pem(object: &Value, field: &str, folder: &Path) -> Result<Option<Vec<u8>>, String> {
    if let Some(data) = object[format!("{field}-data")].as_str() {
        let bytes = base64::engine::general_purpose::STANDARD.decode(data.trim());
        return bytes.map(Some).map_err(|error| format!("{field}-data is not base64: {error}"));
    }
    match object[field].as_str() {
        Some(file) => std::fs::read(folder.join(file)).map(Some).map_err(|error| format!("{file}: {error}")),
        None => Ok(None),
    }
}

fn text_of(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.trim().to_owned())
}

fn read(path: &Path) -> Result<Vec<u8>, KubernetesError> {
    std::fs::read(path).map_err(|error| {
        KubernetesError::new(
            "read",
            path.display().to_string(),
            error,
            "give a readable kubeconfig with --kubeconfig",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
current-context: lab
contexts: [{name: lab, context: {cluster: c, user: u}}, {name: other, context: {cluster: x}}]
clusters: [{name: c, cluster: {server: 'https://192.0.2.1:6443/', certificate-authority-data: Y2E=}}]
users: [{name: u, user: {client-certificate-data: Y2VydA==, client-key-data: a2V5}}]
";

    #[test]
    fn the_current_context_is_used() {
        let found = Credentials::parse(CONFIG, Path::new(".")).expect("a kubeconfig");
        assert_eq!(found.server, "https://192.0.2.1:6443");
        assert_eq!(found.ca.as_deref(), Some(b"ca".as_slice()));
        assert_eq!(found.client, Some((b"cert".to_vec(), b"key".to_vec())));
        assert_eq!((found.token, found.insecure), (None, false));
    }

    #[test]
    fn unusable_kubeconfigs_have_an_error() {
        let error = |from: &str, to: &str| {
            Credentials::parse(&CONFIG.replace(from, to), Path::new(".")).expect_err("it is wrong")
        };
        assert!(error("current-context: lab", "current-context: ''").contains("no current context"));
        assert!(error("cluster: c,", "cluster: gone,").contains("no cluster `gone`"));
        assert!(error("client-key-data: a2V5", "x: y").contains("has no key"));
        assert!(error("client-certificate-data: Y2VydA==", "exec: {command: aws}").contains("`exec`"));
        assert!(error("Y2E=", "a?b").contains("not base64"));
    }

    #[test]
    fn secrets_are_not_printed() {
        let credentials = Credentials { token: Some("secret".into()), ..Credentials::of("https://x".into()) };
        assert!(!format!("{credentials:?}").contains("secret"));
    }
}
