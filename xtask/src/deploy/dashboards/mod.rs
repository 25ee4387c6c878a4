//! Grafana dashboards, generated from a list of panels for consistent units, variables and layout.

mod fleet;
mod node;

use serde_json::{Value, json};

/// The variable that selects the data source.
const SOURCE: &str = "${datasource}";
/// Columns of Grafana's grid.
const GRID: u64 = 24;

/// How a panel shows its queries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One number per series.
    Stat,
    /// Lines over time.
    Lines,
    /// Areas on top of each other over time.
    Stack,
    /// Distribution over time; the query returns buckets.
    Heatmap,
    /// Current values, one column per query, joined by their labels.
    Table,
    /// Current values of the first query, with its first label as rows and its second as columns.
    Matrix,
    /// Current values as bars.
    Bars,
}

/// A query and the names of its series.
pub struct Target {
    expr: String,
    legend: String,
    /// Unit of its column in a table, if not the panel's.
    unit: Option<&'static str>,
}

/// A panel, or a row heading (no targets).
pub struct Panel {
    title: &'static str,
    about: &'static str,
    kind: Kind,
    unit: &'static str,
    size: (u64, u64),
    targets: Vec<Target>,
}

impl Panel {
    fn row(title: &'static str) -> Self {
        Self { title, about: "", kind: Kind::Stat, unit: "", size: (GRID, 1), targets: Vec::new() }
    }

    fn new(kind: Kind, title: &'static str, unit: &'static str, about: &'static str) -> Self {
        let size = match kind {
            Kind::Stat => (4, 4),
            Kind::Table | Kind::Matrix => (GRID, 9),
            Kind::Lines | Kind::Stack | Kind::Heatmap | Kind::Bars => (12, 8),
        };
        Self { title, about, kind, unit, size, targets: Vec::new() }
    }

    fn query(mut self, legend: &str, expr: impl Into<String>) -> Self {
        self.targets.push(Target { expr: expr.into(), legend: legend.to_owned(), unit: None });
        self
    }

    /// A column of a table.
    fn column(mut self, name: &str, unit: &'static str, expr: impl Into<String>) -> Self {
        self.targets.push(Target { expr: expr.into(), legend: name.to_owned(), unit: Some(unit) });
        self
    }

    fn wide(mut self) -> Self {
        self.size.0 = GRID;
        self
    }
}

/// File name and content of each dashboard.
pub fn all() -> [(&'static str, Value); 2] {
    [("node.json", node::dashboard()), ("fleet.json", fleet::dashboard())]
}

/// A variable with the values of a label.
fn variable(name: &str, query: &str, several: bool) -> Value {
    let mut variable = json!({
        "name": name,
        "label": name,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": SOURCE},
        "query": {"query": query, "refId": "values", "qryType": 1},
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
        "options": [],
        "hide": 0,
    });
    if several {
        // "All" includes series without the label: a single cluster often has no such label.
        variable["allValue"] = ".*".into();
        variable["current"] = json!({"text": ["All"], "value": ["$__all"], "selected": true});
    }
    variable
}

/// Numbers panels and places them in the grid from left to right.
fn dashboard(uid: &str, title: &str, variables: Vec<Value>, panels: &[Panel]) -> Value {
    let (mut x, mut y, mut height) = (0, 0, 0);
    let mut placed = Vec::new();
    for (index, panel) in panels.iter().enumerate() {
        let (w, h) = panel.size;
        if x + w > GRID {
            (x, y, height) = (0, y + height, 0);
        }
        let place = json!({"x": x, "y": y, "w": w, "h": h});
        placed.push(render(panel, index + 1, &place));
        x += w;
        height = height.max(h);
    }
    let mut list = vec![json!({
        "name": "datasource",
        "label": "data source",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "hide": 0,
        "includeAll": false,
        "multi": false,
        "options": [],
        "regex": "",
    })];
    list.extend(variables);
    json!({
        "uid": uid,
        "title": title,
        "tags": ["observer"],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "timezone": "",
        "time": {"from": "now-1h", "to": "now"},
        "annotations": {"list": []},
        "links": [{
            "title": "Observer", "type": "dashboards", "tags": ["observer"], "asDropdown": false,
            "icon": "external link", "includeVars": true, "keepTime": true, "targetBlank": false,
            "tooltip": "", "url": "",
        }],
        "templating": {"list": list},
        "panels": placed,
    })
}

fn render(panel: &Panel, id: usize, place: &Value) -> Value {
    if panel.targets.is_empty() {
        return json!({
            "id": id, "type": "row", "title": panel.title, "collapsed": false, "gridPos": place, "panels": [],
        });
    }
    let instant = matches!(panel.kind, Kind::Table | Kind::Matrix | Kind::Bars | Kind::Stat);
    let format = match panel.kind {
        Kind::Table | Kind::Matrix => "table",
        Kind::Heatmap => "heatmap",
        _ => "time_series",
    };
    let target = |(index, target): (usize, &Target)| {
        json!({
            "refId": refid(index),
            "datasource": {"type": "prometheus", "uid": SOURCE},
            "editorMode": "code",
            "expr": target.expr,
            "legendFormat": target.legend,
            "format": format,
            "instant": instant,
            "range": !instant,
        })
    };
    let (kind, options, custom) = appearance(panel);
    json!({
        "id": id,
        "type": kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": {"type": "prometheus", "uid": SOURCE},
        "gridPos": place,
        "targets": panel.targets.iter().enumerate().map(target).collect::<Vec<_>>(),
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "custom": custom, "mappings": []},
            "overrides": overrides(panel),
        },
        "options": options,
        "transformations": transformations(panel),
    })
}

fn refid(index: usize) -> String {
    char::from(b'A' + u8::try_from(index).unwrap_or(25)).to_string()
}

/// Grafana's panel type, its options and its field settings.
fn appearance(panel: &Panel) -> (&'static str, Value, Value) {
    let legend =
        json!({"displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": ["mean", "max"]});
    let reduce = json!({"calcs": ["lastNotNull"], "fields": "", "values": false});
    match panel.kind {
        Kind::Stat => {
            let name =
                panel.unit == "none" && panel.targets.iter().any(|target| target.legend.contains("{{mode}}"));
            let text = if name { "name" } else { "auto" };
            let options = json!({
                "reduceOptions": reduce, "textMode": text, "colorMode": "value", "graphMode": "none",
                "justifyMode": "auto", "orientation": "auto",
            });
            ("stat", options, json!({}))
        }
        Kind::Lines | Kind::Stack => {
            let stacked = panel.kind == Kind::Stack;
            let custom = json!({
                "drawStyle": "line", "lineWidth": 1, "fillOpacity": if stacked { 40 } else { 0 },
                "showPoints": "never", "spanNulls": false,
                "stacking": {"mode": if stacked { "normal" } else { "none" }, "group": "A"},
            });
            ("timeseries", json!({"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}), custom)
        }
        Kind::Heatmap => {
            let options = json!({
                "calculate": false, "cellGap": 1,
                "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange", "reverse": false},
                "yAxis": {"axisPlacement": "left", "unit": panel.unit, "reverse": false},
                "cellValues": {"unit": "pps"},
                "rowsFrame": {"layout": "auto"},
                "tooltip": {"show": true, "yHistogram": false},
                "legend": {"show": true},
                "exemplars": {"color": "rgba(255,0,255,0.7)"},
                "filterValues": {"le": 1e-9},
            });
            ("heatmap", options, json!({}))
        }
        Kind::Table | Kind::Matrix => {
            let options = json!({"showHeader": true, "cellHeight": "sm", "footer": {"show": false, "reducer": ["sum"], "fields": ""}});
            ("table", options, json!({"align": "auto", "filterable": true, "cellOptions": {"type": "auto"}}))
        }
        Kind::Bars => {
            let options = json!({
                "reduceOptions": reduce, "orientation": "horizontal", "displayMode": "basic",
                "showUnfilled": true, "valueMode": "color", "minVizWidth": 8, "minVizHeight": 16,
            });
            ("bargauge", options, json!({}))
        }
    }
}

/// Names and units of a table's columns.
fn overrides(panel: &Panel) -> Vec<Value> {
    if panel.kind != Kind::Table {
        return Vec::new();
    }
    let column = |(index, target): (usize, &Target)| {
        // The column of a single query is not joined and has no letter.
        let name =
            if panel.targets.len() == 1 { "Value".to_owned() } else { format!("Value #{}", refid(index)) };
        json!({
            "matcher": {"id": "byName", "options": name},
            "properties": [
                {"id": "displayName", "value": target.legend},
                {"id": "unit", "value": target.unit.unwrap_or(panel.unit)},
            ],
        })
    };
    panel.targets.iter().enumerate().map(column).collect()
}

fn transformations(panel: &Panel) -> Vec<Value> {
    let hide = json!({"id": "organize", "options": {"excludeByName": {"Time": true}, "indexByName": {}, "renameByName": {}}});
    match panel.kind {
        Kind::Table if panel.targets.len() > 1 => vec![json!({"id": "merge", "options": {}}), hide],
        Kind::Table => vec![hide],
        Kind::Matrix => {
            let labels: Vec<&str> =
                panel.targets.iter().flat_map(|target| target.legend.split('/')).collect();
            vec![json!({"id": "groupingToMatrix", "options": {
                "rowField": labels.first(), "columnField": labels.get(1), "valueField": "Value", "emptyValue": "null",
            }})]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn panels(dashboard: &Value) -> Vec<&Value> {
        dashboard["panels"].as_array().expect("panels").iter().collect()
    }

    #[test]
    fn every_panel_is_complete() {
        for (name, dashboard) in all() {
            let mut ids = BTreeSet::new();
            let mut titles = BTreeSet::new();
            for panel in panels(&dashboard) {
                let title = panel["title"].as_str().expect("a title");
                assert!(ids.insert(panel["id"].as_u64().expect("a number")), "{name}: {title}: duplicate id");
                assert!(titles.insert(title), "{name}: duplicate title {title}");
                if panel["type"] == "row" {
                    continue;
                }
                assert_eq!(panel["datasource"]["uid"], SOURCE, "{name}: {title}");
                assert_ne!(panel["fieldConfig"]["defaults"]["unit"], "", "{name}: {title} has no unit");
                assert_ne!(panel["description"], "", "{name}: {title} has no description");
                let targets = panel["targets"].as_array().expect("targets");
                assert!(!targets.is_empty(), "{name}: {title} has no query");
                for target in targets {
                    let expr = target["expr"].as_str().expect("a query");
                    assert!(expr.contains("observer"), "{name}: {title}: {expr}");
                    assert_eq!(
                        expr.matches('(').count(),
                        expr.matches(')').count(),
                        "{name}: {title}: {expr}"
                    );
                    assert_eq!(target["datasource"]["uid"], SOURCE, "{name}: {title}");
                    assert_ne!(target["legendFormat"], "", "{name}: {title} has unnamed series");
                }
            }
        }
    }

    #[test]
    fn every_selector_uses_the_variables() {
        for (name, dashboard) in all() {
            for panel in panels(&dashboard) {
                for target in panel["targets"].as_array().into_iter().flatten() {
                    let expr = target["expr"].as_str().expect("a query");
                    let series = expr.matches('{').count();
                    assert_eq!(
                        expr.matches(r#"cluster=~"$cluster",node=~"$node""#).count(),
                        series,
                        "{name}: {expr}"
                    );
                }
            }
        }
    }

    #[test]
    fn panels_do_not_overlap() {
        for (name, dashboard) in all() {
            let mut taken = BTreeSet::new();
            for panel in panels(&dashboard) {
                let place = |key: &str| panel["gridPos"][key].as_u64().expect("a number");
                for x in place("x")..place("x") + place("w") {
                    assert!(x < GRID, "{name}: {} exceeds the grid", panel["title"]);
                    for y in place("y")..place("y") + place("h") {
                        assert!(taken.insert((x, y)), "{name}: {} overlaps another panel", panel["title"]);
                    }
                }
            }
        }
    }
}
