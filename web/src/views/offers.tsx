// What was dropped or pasted and is not in the message: each with a word and a click.

import { sizeText } from "../state/part";
import { Icon } from "../ui/icon";
import { type Offer, POSSIBLE } from "./attach";

interface Props {
  offers: Offer[];
  take: (offer: Offer) => void;
  leave: (offer: Offer) => void;
}

function Words({ offer }: { offer: Offer }) {
  if (offer.kind === "picture") return <span>The clipboard has a picture of this, too.</span>;
  const words = offer.kind === "no" ? offer.why : `is text (${sizeText(new Blob([offer.text]).size)}).`;
  return <span><bdi>{offer.name}</bdi> {words}</span>;
}

export function Offers({ offers, take, leave }: Props) {
  if (offers.length === 0) return null;
  return (
    <ul class="offers" aria-live="polite">
      {offers.map((offer, i) => (
        <li key={i} data-testid="offer" data-kind={offer.kind}>
          <Icon name={offer.kind === "no" ? "warning" : offer.kind === "text" ? "file" : "image"} size={14} />
          <Words offer={offer} />
          {offer.kind !== "no" && (
            <button type="button" class="secondary small" data-testid="offer-take" onClick={() => take(offer)}>
              {offer.kind === "text" ? "Put it in the message" : "Add the picture"}
            </button>
          )}
          <button type="button" class="quiet-button" data-testid="offer-leave" onClick={() => leave(offer)}>
            {offer.kind === "no" ? "OK" : "Leave it"}
          </button>
        </li>
      ))}
      {offers.some((o) => o.kind === "no") && <li class="offers-hint">{POSSIBLE}</li>}
    </ul>
  );
}
