//! Building one directory: its objects and those of its bases, what is generated, what components and steps make of them.
//! Bases come back finished but for the names that are yet to follow, which only the whole can tell.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Error;
use crate::defaults::{Fields, fields};
use crate::generate::generate;
use crate::kustomization::{Kustomization, Var, from_fields, without_nulls};
use crate::loader::Loader;
use crate::origin::{Origin, join};
use crate::resource::{Resource, parse, parse_file};
use crate::set::Set;
use crate::steps::{Step, of_fields, of_generator, of_transformer};
use crate::variables;
use crate::yaml::{Words, documents};

/// What has come together so far.
#[derive(Default)]
pub(crate) struct Accumulated {
    pub(crate) set: Set,
    pub(crate) fields: Fields,
    pub(crate) vars: Vec<Var>,
}

impl Accumulated {
    fn take(&mut self, other: Accumulated) -> Result<(), Error> {
        self.set.add_all(other.set.list)?;
        self.fields.unite(&other.fields)?;
        variables::unite(&mut self.vars, &other.vars)
    }
}

/// A directory with its kustomization.
pub(crate) struct Target<'a> {
    loader: Loader<'a>,
    file: &'static str,
    pub(crate) kustomization: Kustomization,
    /// The directory, below the one that is built.
    path: String,
}

impl<'a> Target<'a> {
    /// Reads a directory's kustomization.
    pub(crate) fn load(loader: Loader<'a>, path: String, warnings: &mut Vec<String>) -> Result<Target<'a>, Error> {
        let (file, text) = loader.kustomization()?;
        let kustomization = Kustomization::read(&text, &loader.root(), warnings)?;
        Ok(Target { loader, file, kustomization, path })
    }

    /// Adds all that the kustomization makes.
    pub(crate) fn accumulate(&self, so_far: &mut Accumulated, warnings: &mut Vec<String>) -> Result<(), Error> {
        let it = &self.kustomization;
        self.resources(so_far, &it.resources, warnings).map_err(|error| error.doing("accumulating resources"))?;
        so_far.fields.unite(&self.configured_fields()?)?;
        self.generate(so_far, warnings)?;
        for name in &it.components {
            self.component(so_far, name, warnings).map_err(|error| error.doing("accumulating components"))?;
        }
        for (kind, step) in of_fields(it, &so_far.fields, &self.loader)? {
            step.run(&mut so_far.set)?;
            changed_by(&mut so_far.set, &Origin::builtin(&join(&self.path, self.file), kind));
        }
        for (step, origin) in self.transformers(&it.transformers, warnings)? {
            step.run(&mut so_far.set)?;
            changed_by(&mut so_far.set, &origin);
        }
        for (step, _) in self.transformers(&it.validators, warnings)? {
            let mut copy = so_far.set.clone();
            step.run(&mut copy)?;
            let same = copy.list.len() == so_far.set.list.len()
                && copy.list.iter().zip(&so_far.set.list).all(|(left, right)| left.object == right.object);
            if !same {
                return Err(Error::said("validator shouldn't modify the resource map"));
            }
        }
        variables::declare(&mut so_far.set, &mut so_far.vars, &it.vars)
    }

    /// Kustomize's own fields, with those of `configurations`.
    fn configured_fields(&self) -> Result<Fields, Error> {
        let mut all = fields();
        for name in &self.kustomization.configurations {
            for value in documents(&self.loader.text(name)?, Words::Kustomizations)? {
                let Value::Object(mut more) = value else {
                    return Err(Error::said(format!("the configuration {name} has no fields")));
                };
                without_nulls(&mut more);
                let more: Fields =
                    from_fields(more).map_err(|error| error.doing(format!("the configuration {name}")))?;
                all.unite(&more)?;
            }
        }
        Ok(all)
    }

    /// Adds objects of files, and of directories with kustomizations of their own.
    fn resources(&self, so_far: &mut Accumulated, names: &[String], warnings: &mut Vec<String>) -> Result<(), Error> {
        for name in names {
            let of_file = match self.of_file(&mut so_far.set, name) {
                Ok(()) => continue,
                Err(Error::Remote(name)) => return Err(Error::Remote(name)),
                Err(error) => error,
            };
            let tried = |error: Error, of_file: &Error| error.doing(format!("accumulation err='{of_file}'"));
            let base = match self.loader.base(name) {
                Ok(base) => base,
                Err(_) if of_file.is_malformed() => return Err(of_file),
                Err(error) => return Err(tried(error, &of_file)),
            };
            let base = self.directory(base, name, false, warnings).and_then(|base| {
                let mut of_base = Accumulated::default();
                let root = base.loader.root();
                let recursed = |error: Error| error.doing(format!("recursed accumulation of path '{root}'"));
                base.accumulate(&mut of_base, warnings).map_err(recursed)?;
                so_far.take(of_base).map_err(|error| error.doing(format!("recursed merging from path '{root}'")))
            });
            base.map_err(|error| tried(error, &of_file))?;
        }
        Ok(())
    }

    fn of_file(&self, set: &mut Set, name: &str) -> Result<(), Error> {
        let accumulating = |error: Error| error.doing(format!("accumulating resources from '{name}'"));
        let text = self.loader.text(name).map_err(accumulating)?;
        let mut found = parse_file(&text).map_err(|error| match error {
            Error::Malformed(why) => accumulating(Error::Malformed(format!("{why} in File: {name}"))),
            other => accumulating(other),
        })?;
        for resource in &mut found {
            resource.origin = Some(Origin::file(join(&self.path, name)));
        }
        // All or none, so that the name may be tried as a directory's.
        let mut with = set.clone();
        with.add_all(found).map_err(|error| error.doing(format!("merging resources from '{name}'")))?;
        *set = with;
        Ok(())
    }

    /// The kustomization of another directory.
    fn directory(
        &self,
        loader: Loader<'a>,
        name: &str,
        is_component: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Target<'a>, Error> {
        let root = loader.root();
        let target = Target::load(loader, join(&self.path, name), warnings)
            .map_err(|error| error.doing(format!("couldn't make target for path '{root}'")))?;
        match (is_component, target.kustomization.is_component()) {
            (true, false) => {
                Err(Error::said(format!("expected kind 'Component' for path '{root}' but got 'Kustomization'")))
            }
            (false, true) => Err(Error::said(format!("expected kind != 'Component' for path '{root}'"))),
            _ => Ok(target),
        }
    }

    /// Has a component work on what is there.
    fn component(&self, so_far: &mut Accumulated, name: &str, warnings: &mut Vec<String>) -> Result<(), Error> {
        let loader =
            self.loader.base(name).map_err(|error| Error::said(format!("loader.New {:?}", error.to_string())))?;
        // Upstream has it in quotes.
        let accumulating = |error: Error| Error::said(format!("accumulateDirectory: {:?}", error.to_string()));
        let target = self.directory(loader, name, true, warnings).map_err(accumulating)?;
        let root = target.loader.root();
        target
            .accumulate(so_far, warnings)
            .map_err(|error| accumulating(error.doing(format!("recursed accumulation of path '{root}'"))))
    }

    fn generate(&self, so_far: &mut Accumulated, warnings: &mut Vec<String>) -> Result<(), Error> {
        let it = &self.kustomization;
        let all = it.generator_options.as_ref();
        for (kind, plugin, generators) in [
            ("ConfigMap", "ConfigMapGenerator", &it.config_map_generator),
            ("Secret", "SecretGenerator", &it.secret_generator),
        ] {
            for generator in generators {
                let mut made = generate(kind, generator, all, &self.loader)?;
                made.origin = Some(Origin::builtin(&join(&self.path, self.file), plugin));
                so_far.set.absorb(made).map_err(|error| error.doing("merging from generator"))?;
            }
        }
        for (config, origin) in self.plugins(&it.generators, warnings)? {
            let (kind, generator) = of_generator(&config)?;
            let mut made = generate(kind, &generator, None, &self.loader)?;
            made.origin = Some(origin);
            so_far.set.absorb(made).map_err(|error| error.doing("merging from generator"))?;
        }
        Ok(())
    }

    fn transformers(&self, names: &[String], warnings: &mut Vec<String>) -> Result<Vec<(Step, Origin)>, Error> {
        let plugins = self.plugins(names, warnings)?;
        plugins.iter().map(|(config, origin)| Ok((of_transformer(config, &self.loader)?, origin.clone()))).collect()
    }

    /// Configurations of generators and transformers: files, directories, or the text itself.
    fn plugins(&self, names: &[String], warnings: &mut Vec<String>) -> Result<Vec<(Resource, Origin)>, Error> {
        let mut inline = Set::default();
        let mut paths = Vec::new();
        for name in names {
            match parse(name) {
                Ok(found) if !found.is_empty() => {
                    for mut config in found {
                        config.origin = Some(Origin::file(join(&self.path, self.file)));
                        inline.add(config)?;
                    }
                }
                _ => paths.push(name.clone()),
            }
        }
        let mut all = Accumulated { set: inline, ..Accumulated::default() };
        self.resources(&mut all, &paths, warnings)?;
        let origin = |config: &Resource| {
            let file = config.origin.clone().unwrap_or_default();
            let api_version = config.object["apiVersion"].as_str().unwrap_or_default().to_owned();
            let (kind, name) = (config.kind().to_owned(), config.name().to_owned());
            let by = [api_version, kind, name, config.namespace().to_owned()];
            Origin { path: String::new(), configured_in: file.path, configured_by: Some(by) }
        };
        Ok(all
            .set
            .list
            .into_iter()
            .map(|config| {
                let origin = origin(&config);
                (config, origin)
            })
            .collect())
    }
}

/// Remembers what has changed all objects.
fn changed_by(set: &mut Set, origin: &Origin) {
    for resource in &mut set.list {
        match resource.origin {
            None => resource.origin = Some(origin.clone()),
            Some(_) => resource.transformations.push(origin.clone()),
        }
    }
}

/// The notes of where an object comes from, as annotations.
pub(crate) fn notes(resource: &Resource, wanted: &[String]) -> BTreeMap<String, String> {
    let wants = |word: &str| wanted.iter().any(|wanted| wanted == word);
    let mut notes = BTreeMap::new();
    if let Some(origin) = resource.origin.as_ref().filter(|_| wants("originAnnotations")) {
        notes.insert("config.kubernetes.io/origin".to_owned(), origin.yaml("", ""));
    }
    if wants("transformerAnnotations") && !resource.transformations.is_empty() {
        let all: String = resource.transformations.iter().map(|origin| origin.yaml("- ", "  ")).collect();
        notes.insert("alpha.config.kubernetes.io/transformations".to_owned(), all);
    }
    notes
}
