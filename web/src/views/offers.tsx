// What was dropped or pasted and is not in the message: each with a word and a click.

import { sizeText } from "../state/part";
import { Icon } from "../ui/icon";
import type { Offer } from "./attach";

interface Props {
  offers: Offer[];
  take: (offer: Offer) => void;
  leave: (offer: Offer) => void;
}

function words(offer: Offer): string {
  if (offer.kind === "no") return `${offer.name} ${offer.why}`;
  if (offer.kind === "text") return `${offer.name} is text (${sizeText(new Blob([offer.text]).size)}).`;
  return "The clipboard has a picture of this, too.";
}

export function Offers({ offers, take, leave }: Props) {
  if (offers.length === 0) return null;
  return (
    <ul class="offers" aria-live="polite">
      {offers.map((offer, i) => (
        <li key={i} data-testid="offer" data-kind={offer.kind}>
          <Icon name={offer.kind === "no" ? "warning" : offer.kind === "text" ? "file" : "image"} size={14} />
          <span dir="auto">{words(offer)}</span>
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
    </ul>
  );
}
