//! Where the API is and who we are: from the files of a pod, or from a kubeconfig.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::Value;

use super::KubernetesError;

/// Where Kubernetes mounts a pod's account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Where the API is, and who we are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// `https://HOST:PORT`, without a slash at the end.
    pub server: String,
    /// PEM of the certificates that the server is known by.
    pub ca: Option<Vec<u8>>,
    /// A bearer token.
    pub token: Option<String>,
    /// PEM of our certificate, and of its key.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
    /// The server's certificate is not looked at, as the kubeconfig asks for.
    pub insecure: bool,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What is secret does not get into logs.
        f.debug_struct("Credentials").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Nobody, at a server.
    #[must_use]
    pub fn of(server: String) -> Self {
        Self { server, ..Self::default() }
    }

    /// Those of `--kubeconfig`, else of `KUBECONFIG`, else of the pod we are in, else of `~/.kube/config`.
    ///
    /// # Errors
    /// There are none, or they cannot be used.
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
                "this is no pod, KUBECONFIG is not set, and there is no ~/.kube/config",
                "name a file with --kubeconfig",
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
                format!("the kubeconfig {}", path.display()),
                cause,
                "try `kubectl config view --minify` with it",
            )
        })
    }

    /// Reads the text of a kubeconfig; files that it names are looked for in `folder`.
    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let config: Value = serde_norway::from_str(text).map_err(|error| error.to_string())?;
        let named = |list: &str, part: &str, name: &str| {
            let entries = config[list].as_array().into_iter().flatten();
            let found = entries.clone().find(|entry| entry["name"] == name).map(|entry| entry[part].clone());
            found.ok_or_else(|| format!("there is no {part} `{name}`"))
        };
        let current = config["current-context"].as_str().filter(|name| !name.is_empty());
        let context = named("contexts", "context", current.ok_or("no context is current")?)?;
        let cluster = named("clusters", "cluster", context["cluster"].as_str().unwrap_or_default())?;
        let user = match context["user"].as_str() {
            Some(name) => named("users", "user", name)?,
            None => Value::Null,
        };
        for way in ["exec", "auth-provider"] {
            if !user[way].is_null() {
                return Err(format!(
                    "its user logs in by `{way}`, which runs another program; use a token: kubectl create token"
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

/// What stands in `FIELD-data` in base64, or in the file that `FIELD` names.
fn pem(object: &Value, field: &str, folder: &Path) -> Result<Option<Vec<u8>>, String> {
    if let Some(data) = object[format!("{field}-data")].as_str() {
        let bytes = base64::engine::general_purpose::STANDARD.decode(data.trim());
        return bytes.map(Some).map_err(|error| format!("{field}-data is no base64: {error}"));
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
            "name a readable kubeconfig with --kubeconfig",
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
    fn the_current_context_is_taken() {
        let found = Credentials::parse(CONFIG, Path::new(".")).expect("a kubeconfig");
        assert_eq!(found.server, "https://192.0.2.1:6443");
        assert_eq!(found.ca.as_deref(), Some(b"ca".as_slice()));
        assert_eq!(found.client, Some((b"cert".to_vec(), b"key".to_vec())));
        assert_eq!((found.token, found.insecure), (None, false));
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let without = |from: &str, to: &str| {
            Credentials::parse(&CONFIG.replace(from, to), Path::new(".")).expect_err("it is wrong")
        };
        assert!(without("current-context: lab", "current-context: ''").contains("no context is current"));
        assert!(without("cluster: c,", "cluster: gone,").contains("no cluster `gone`"));
        assert!(without("client-key-data: a2V5", "x: y").contains("has no key"));
        assert!(without("client-certificate-data: Y2VydA==", "exec: {command: aws}").contains("`exec`"));
        assert!(without("Y2E=", "a?b").contains("no base64"));
    }

    #[test]
    fn secrets_are_not_printed() {
        let credentials = Credentials { token: Some("secret".into()), ..Credentials::of("https://x".into()) };
        assert!(!format!("{credentials:?}").contains("secret"));
    }
}
