//! `gantry api-resources`.

use clap::{Args, ValueEnum};

use crate::output::table::Printer;
use crate::resources::Resource;
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Only those of this group; the core is "".
    #[arg(long, value_name = "GROUP")]
    api_group: Option<String>,
    /// Only those that are in namespaces, or only those that are not.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    namespaced: Option<bool>,
    /// Only those that can do all of this.
    #[arg(long, value_name = "VERBS", value_delimiter = ',')]
    verbs: Vec<String>,
    /// Only those of all of these categories.
    #[arg(long, value_name = "CATEGORIES", value_delimiter = ',')]
    categories: Vec<String>,
    /// Without the header.
    #[arg(long)]
    no_headers: bool,
    /// In which order.
    #[arg(long, value_name = "COLUMN")]
    sort_by: Option<Order>,
    /// How they are shown.
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Shown>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    Name,
    Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shown {
    Wide,
    Name,
}

impl Arguments {
    fn selects(&self, resource: &Resource) -> bool {
        self.api_group.as_ref().is_none_or(|group| resource.group == *group)
            && self.namespaced.is_none_or(|namespaced| resource.namespaced == namespaced)
            && self.verbs.iter().all(|verb| resource.can(verb))
            && self.categories.iter().all(|category| resource.categories.contains(category))
    }
}

/// Lists the resources of preferred versions, by group and name.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let mut resources: Vec<Resource> = Vec::new();
    for resource in session.catalog().await?.all().iter().filter(|resource| arguments.selects(resource)) {
        // Of several versions the first is preferred.
        let is_known = |other: &Resource| other.group == resource.group && other.plural == resource.plural;
        if !resource.verbs.is_empty() && !resources.iter().any(is_known) {
            resources.push(resource.clone());
        }
    }
    match arguments.sort_by {
        Some(Order::Name) => resources.sort_by(|left, right| left.plural.cmp(&right.plural)),
        Some(Order::Kind) => resources.sort_by(|left, right| left.kind.cmp(&right.kind)),
        None => resources.sort_by(|left, right| (&left.group, &left.plural).cmp(&(&right.group, &right.plural))),
    }
    if arguments.output == Some(Shown::Name) {
        let names: String = resources.iter().map(|resource| format!("{resource}\n")).collect();
        return session.write(&names);
    }
    let is_wide = arguments.output == Some(Shown::Wide);
    let mut header = vec!["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"];
    if is_wide {
        header.extend(["VERBS", "CATEGORIES"]);
    }
    let mut lines: Vec<Vec<String>> = Vec::new();
    if !arguments.no_headers {
        lines.push(header.into_iter().map(str::to_owned).collect());
    }
    for resource in &resources {
        let mut line = vec![
            resource.plural.clone(),
            resource.short_names.join(","),
            resource.api_version(),
            resource.namespaced.to_string(),
            resource.kind.clone(),
        ];
        if is_wide {
            line.extend([resource.verbs.join(","), resource.categories.join(",")]);
        }
        lines.push(line);
    }
    session.write(&Printer::plain(&lines))
}
