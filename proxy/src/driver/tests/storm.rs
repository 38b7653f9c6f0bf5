//! Whatever happens in whatever order, in the end the kernel has what the API has.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use super::super::*;
use super::world::World;

const SERVICES: u32 = 4;

/// Does one thing that can happen.
async fn happen(world: &mut World, disturbed: &mut Disturbed, random: &mut StdRng) {
    let service = format!("s{}", random.random_range(0..SERVICES));
    let slice = format!("{service}-{}", random.random_range(0..2));
    match random.random_range(0..16) {
        0..3 => world.put_service(&service),
        3 => world.remove_service(&service),
        4..8 => {
            let addresses: Vec<String> =
                (0..random.random_range(0..4)).map(|_| format!("1.1.1.{}", random.random_range(1..9))).collect();
            let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
            world.put_slice(&slice, &service, &addresses, Some(world.clock.now()));
        }
        8 => world.remove_slice(&slice),
        9 => {
            let labels = json!({"topology.kubernetes.io/zone": format!("z{}", random.random_range(0..3))});
            world.put_node(json!({"metadata": {"name": "n", "labels": labels}}));
        }
        10 => {
            let family = FAMILIES[random.random_range(0..2)];
            world.fate.lock().refuses.insert(family, format!("cause {}", random.random_range(0..2)));
        }
        11 => world.fate.lock().refuses.clear(),
        12 => {
            let mut fate = world.fate.lock();
            fate.forgets_nothing = fate.forgets_nothing.take().xor(Some("no".to_owned()));
        }
        13 => world.fate.lock().breaks = true,
        14 => {
            world.fate.lock().tables.clear();
            disturbed.tell();
        }
        _ => {
            world.stop().await;
            *disturbed = world.start();
        }
    }
    let pause = [0, 0, 1, 20, 500, 20_000][random.random_range(0..6)];
    world.pass(Duration::from_millis(pause)).await;
}

#[test]
fn in_the_end_the_kernel_has_what_the_api_has() {
    for seed in 0..60 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut random = StdRng::seed_from_u64(seed);
            let mut world = World::new();
            world.put_node(json!({}));
            world.list_all();
            let mut disturbed = world.start();
            for _ in 0..60 {
                happen(&mut world, &mut disturbed, &mut random).await;
            }
            {
                let mut fate = world.fate.lock();
                (fate.forgets_nothing, fate.breaks) = (None, false);
                fate.refuses.clear();
            }
            world.pass(Duration::from_secs(120)).await;
            assert_eq!(world.tables(), world.expected(), "seed {seed}");
            assert!(world.health.is_healthy(), "seed {seed}");
            world.fate.lock().log.clear();
            world.pass(Duration::from_secs(600)).await;
            assert!(world.told().is_empty(), "seed {seed}: at rest nothing is told");
            assert_eq!(Arc::strong_count(&world.fate), 2, "seed {seed}: drivers that were stopped are gone");
        });
    }
}
