//! Rules that the public API keeps and the compiler does not check.

use std::collections::{BTreeMap, BTreeSet};

use rustdoc_types::{Crate, Id, Item, ItemEnum, Visibility};

/// Types whose every method has an example. Every other type has one of its own. The methods of the types for tokio refer to
/// the synchronous methods of the same names instead.
const EVERYDAY: [&str; 4] = ["Client", "EventSocket", "Mirror", "Filter"];

/// Returns a line for each broken rule:
///
/// - A type is public at one path only.
/// - The documentation of a type contains an example, and so does that of each method of an everyday type.
pub(crate) fn violations(api: &Crate) -> Vec<String> {
    let mut paths: BTreeMap<Id, BTreeSet<String>> = BTreeMap::new();
    if let Some(root) = api.index.get(&api.root) {
        collect_types(api, root, root.name.as_deref().unwrap_or_default(), &mut paths);
    }
    let mut violations = Vec::new();
    for (id, paths) in &paths {
        let (Some(item), Some(path)) = (api.index.get(id), paths.first()) else { continue };
        if paths.len() > 1 {
            violations.push(format!("public at several paths: {}", Vec::from_iter(paths.iter().cloned()).join(", ")));
        }
        if !has_example(item) {
            violations.push(format!("no example: {path}"));
        }
        let is_everyday = EVERYDAY.iter().any(|name| item.name.as_deref() == Some(name));
        if is_everyday && !path.contains("::tokio::") {
            let methods = methods(api, item).into_iter().filter(|method| !has_example(method));
            violations.extend(
                methods.map(|method| format!("no example: {path}::{}", method.name.as_deref().unwrap_or_default())),
            );
        }
    }
    violations
}

/// Collects the public paths of each type below a module, including those of re-exports.
fn collect_types(api: &Crate, module: &Item, path: &str, paths: &mut BTreeMap<Id, BTreeSet<String>>) {
    let ItemEnum::Module(inner) = &module.inner else { return };
    for item in inner.items.iter().filter_map(|id| api.index.get(id)) {
        if item.visibility != Visibility::Public {
            continue;
        }
        let (name, target) = match &item.inner {
            ItemEnum::Use(import) => {
                let Some(target) = import.id.and_then(|id| api.index.get(&id)) else { continue };
                if import.is_glob {
                    collect_types(api, target, path, paths);
                    continue;
                }
                (import.name.as_str(), target)
            }
            _ => (item.name.as_deref().unwrap_or_default(), item),
        };
        let path = format!("{path}::{name}");
        match target.inner {
            ItemEnum::Module(_) => collect_types(api, target, &path, paths),
            ItemEnum::Struct(_) | ItemEnum::Enum(_) | ItemEnum::Union(_) | ItemEnum::Trait(_) => {
                paths.entry(target.id).or_default().insert(path);
            }
            _ => {}
        }
    }
}

/// Returns the public functions of the type's own implementations.
fn methods<'a>(api: &'a Crate, item: &Item) -> Vec<&'a Item> {
    let implementations = match &item.inner {
        ItemEnum::Struct(inner) => &inner.impls,
        ItemEnum::Enum(inner) => &inner.impls,
        _ => return Vec::new(),
    };
    let inherent = implementations.iter().filter_map(|id| match &api.index.get(id)?.inner {
        ItemEnum::Impl(inner) if inner.trait_.is_none() => Some(&inner.items),
        _ => None,
    });
    inherent
        .flatten()
        .filter_map(|id| api.index.get(id))
        .filter(|item| item.visibility == Visibility::Public && matches!(item.inner, ItemEnum::Function(_)))
        .collect()
}

fn has_example(item: &Item) -> bool {
    item.docs.as_deref().is_some_and(|docs| docs.contains("```"))
}
