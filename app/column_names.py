"""What columns are called in shops' files, by the contract's column: English, German, French, Spanish and more."""

from collections.abc import Mapping


def _names(text: str) -> tuple[str, ...]:
    return tuple(" ".join(name.split()) for name in text.split(","))


# The likeliest first; a name of several words is one that a column must hold all of. Without accents, ß as ss.
COLUMN_NAMES: Mapping[str, tuple[str, ...]] = {
    "customer_id": _names(
        """
        customer id, customer, client id, client, buyer id, buyer, household id, household, user id, shopper
        id, shopper, member id, member, account id, cust id, cust, user, loyalty id, card id, customer
        number, customer no, kunde, kunden nr, kunden id, kundennummer, kundennr, kundenid, kundnummer, id
        client, numero client, cliente, id cliente, codigo cliente, klant, klantnummer, klant id, klient, id
        klienta, kund, kund id, customer email, email, phone
        """
    ),
    "ordered_at": _names(
        """
        ordered at, order date, order time, invoice date, transaction timestamp, transaction date, purchase
        date, purchased at, order timestamp, sale date, sold at, created at, created, date time, datetime,
        timestamp, date, day, time, bestelldatum, rechnungsdatum, auftragsdatum, kaufdatum, datum, date
        commande, date achat, date facture, fecha pedido, fecha compra, fecha, data ordine, data acquisto,
        data, orderdatum, besteldatum, factuurdatum, data pedido, data compra, data zamowienia, inkopsdatum,
        order dt, trans date, txn date
        """
    ),
    "revenue": _names(
        """
        revenue, net revenue, sales value, line total, line amount, net amount, net sales, net total, sales
        amount, order value, order total, total price, total amount, amount, total, sales, spend, spent,
        turnover, dollar value, value, paid, gross sales, subtotal, umsatz, nettoumsatz, betrag,
        gesamtpreis, summe, netto, montant, chiffre affaires, prix total, ca, importe, ventas, importo,
        totale, ricavo, fatturato, omzet, bedrag, totaal, valor, valor total, receita, kwota, wartosc,
        belopp, summa
        """
    ),
    "order_id": _names(
        """
        order id, order number, order no, order, invoice no, invoice id, invoice number, invoice, basket id,
        basket, transaction id, transaction, receipt id, receipt number, receipt, cart id, ticket id,
        ticket, bestellnummer, bestellnr, bestell nr, bestellung, auftragsnummer, auftrag, rechnungsnummer,
        beleg, belegnummer, bon, bonnummer, commande, id commande, numero commande, facture, pedido, id
        pedido, numero pedido, factura, ordine, id ordine, numero ordine, fattura, bestelling, ordernummer,
        factuurnummer, numer zamowienia, zamowienie, fatura, txn id
        """
    ),
    "sku": _names(
        """
        sku, product id, stock code, item id, article number, article id, variant id, product code, item
        code, upc, ean, gtin, asin, style color, product, item, article, artikelnummer, artikelnr, artikel
        nr, artikel id, artikel, produkt id, produkt, reference, ref, id produit, code produit, produit,
        codigo producto, id producto, producto, codice articolo, articolo, prodotto, produto, codigo
        produto, artigo, produktu
        """
    ),
    "quantity": _names(
        """
        quantity, qty, units, number of units, pieces, count, number of cds, volume, menge, anzahl, stuck,
        stueck, quantite, qte, nombre, cantidad, unidades, quantita, pezzi, aantal, hoeveelheid, quantidade,
        qtd, ilosc, antal
        """
    ),
    "unit_price": _names(
        """
        unit price, price, price per unit, sale price, item price, selling price, einzelpreis, stuckpreis,
        stueckpreis, preis, prix unitaire, prix, precio unitario, precio, prezzo unitario, prezzo,
        stukprijs, prijs, preco unitario, preco, cena, cena jednostkowa, pris, styckpris
        """
    ),
    "list_price": _names(
        """
        list price, regular price, original price, full price, rrp, msrp, retail price, base price,
        listenpreis, uvp, prix catalogue, precio lista, prezzo listino, adviesprijs, ordinarie pris
        """
    ),
    "unit_cost": _names(
        """
        unit cost, cost, cogs, purchase price, cost price, einkaufspreis, ek preis, prix achat, cout, costo
        unitario, costo, coste, inkoopprijs, kostprijs, custo, koszt
        """
    ),
    "discount": _names(
        """
        discount, discount amount, retail disc, disc, markdown, rebate, rabatt, nachlass, remise, reduction,
        descuento, sconto, korting, desconto, rabat
        """
    ),
    "store_id": _names(
        """
        store id, store, shop id, shop, branch, outlet, location id, filiale, filial nr, markt, magasin,
        tienda, negozio, punto vendita, winkel, filiaal, loja, sklep, butik
        """
    ),
    "channel": _names(
        """
        channel, sales channel, order channel, source, platform, kanal, vertriebskanal, canal, canale,
        kanaal, country, land, pays, pais, paese
        """
    ),
    "currency": _names(
        """
        currency, currency code, wahrung, waehrung, devise, moneda, valuta, moeda, waluta
        """
    ),
    "returned_at": _names(
        """
        returned at, return date, refund date, refunded at, retourdatum, date retour
        """
    ),
    "original_order_id": _names(
        """
        original order id, original order, parent order id, refunded order id, original invoice, parent
        order
        """
    ),
    "is_product": _names(
        """
        is product, is merchandise
        """
    ),
}
