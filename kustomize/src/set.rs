//! The objects on their way, in order. No two have the same name, except while a transformer is at work.

use crate::Error;
use crate::generate::merge_data;
use crate::id::Id;
use crate::resource::{Behavior, Resource};

/// Objects, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Set {
    pub(crate) list: Vec<Resource>,
}

impl Set {
    /// Adds one, whose name must be new.
    pub(crate) fn add(&mut self, resource: Resource) -> Result<(), Error> {
        let id = resource.id();
        if self.list.iter().any(|other| other.id().is(&id)) {
            return Err(Error::SameId(id));
        }
        self.list.push(resource);
        Ok(())
    }

    /// Adds all of another one.
    pub(crate) fn add_all(&mut self, other: Vec<Resource>) -> Result<(), Error> {
        other.into_iter().try_for_each(|resource| self.add(resource))
    }

    /// Those that are or were called so.
    pub(crate) fn by_any_id(&self, matches: impl Fn(&Id) -> bool) -> Vec<usize> {
        let called = |resource: &Resource| !resource.is_gone() && resource.all_ids().iter().any(&matches);
        (0..self.list.len()).filter(|index| called(&self.list[*index])).collect()
    }

    /// The one that is or was called so.
    pub(crate) fn one_by_id(&self, id: &Id) -> Result<usize, Error> {
        match self.by_any_id(|other| other.is(id))[..] {
            [index] => Ok(index),
            [] => Err(format!("no matches for Id {id}")),
            _ => Err(format!("multiple matches for Id {id}")),
        }
        .map_err(|why| Error::said(format!("{why}; failed to find unique target for patch {id}")))
    }

    /// Takes in a generated one: as a new one, or for or into one that is there, as it says.
    pub(crate) fn absorb(&mut self, mut resource: Resource) -> Result<(), Error> {
        let id = resource.id();
        match self.by_any_id(|other| other.is(&id))[..] {
            [] => match resource.behavior {
                Behavior::Merge | Behavior::Replace => {
                    Err(Error::said(format!("id {id} does not exist; cannot merge or replace")))
                }
                Behavior::Create | Behavior::Unspecified => self.add(resource),
            },
            [index] => {
                let old = &self.list[index];
                match resource.behavior {
                    Behavior::Replace => resource.take_over(old),
                    Behavior::Merge => {
                        let origin = old.origin.clone();
                        resource.take_over(old);
                        merge_data(&mut resource, old);
                        resource.origin = origin.or(resource.origin);
                    }
                    other => {
                        let word = other.word();
                        return Err(Error::said(format!(
                            "id {id} exists; can not use behavior: '{word}', behavior must be merge or replace"
                        )));
                    }
                }
                resource.transformations.clone_from(&old.transformations);
                self.list[index] = resource;
                Ok(())
            }
            _ => Err(Error::said(format!("found multiple objects that could accept merge of {id}"))),
        }
    }

    /// Leaves out those that patches have deleted.
    pub(crate) fn drop_gone(&mut self) {
        self.list.retain(|resource| !resource.is_gone());
    }
}
