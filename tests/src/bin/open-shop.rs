//! The shop, for people to look at: it opens, says on which port it takes orders and which ports
//! there are in all, and closes when its standard input ends.

use wirespan_tests::shop::Shop;

fn main() -> std::io::Result<()> {
    let shop = Shop::open();
    println!("open {} {}", shop.port(), shop.ports());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
