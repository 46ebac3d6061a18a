// Stands where markdown-it expects uc.micro: the engine knows these classes itself.
export const P = /\p{P}/u;
export const S = /\p{S}/u;
