//! Tables of configurations: what they mean, and what is wrong with them.

mod faults;
mod meaning;
mod plugins;

use super::*;

/// A file with a header.
pub(super) fn file(rest: &str) -> String {
    format!("apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n{rest}")
}

/// A file with one profile.
pub(super) fn profile(rest: &str) -> String {
    let rest = rest.trim_start().replace('\n', "\n  ");
    file(&format!("profiles:\n- {rest}\n"))
}

/// A file with arguments for a plugin, in flow style.
pub(super) fn arguments(plugin: &str, args: &str) -> String {
    file(&format!("profiles:\n- pluginConfig:\n  - name: {plugin}\n    args: {args}\n"))
}

/// Plugins in brief: `a b:2 -c` are `a` and `b` of weight two enabled, and `c` disabled.
pub(super) fn set(brief: &str) -> PluginSet {
    let mut set = PluginSet::default();
    for word in brief.split_whitespace() {
        let (list, word) = match word.strip_prefix('-') {
            Some(word) => (&mut set.disabled, word),
            None => (&mut set.enabled, word),
        };
        let (name, weight) = word.split_once(':').unwrap_or((word, "0"));
        list.push(Plugin { name: name.to_owned(), weight: weight.parse().unwrap() });
    }
    set
}

/// The same the other way round.
pub(super) fn brief(set: &PluginSet) -> String {
    let weight = |plugin: &Plugin| if plugin.weight == 0 { String::new() } else { format!(":{}", plugin.weight) };
    let enabled = set.enabled.iter().map(|plugin| format!("{}{}", plugin.name, weight(plugin)));
    let disabled = set.disabled.iter().map(|plugin| format!("-{}{}", plugin.name, weight(plugin)));
    enabled.chain(disabled).collect::<Vec<_>>().join(" ")
}
