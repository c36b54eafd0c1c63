/** What JSON can hold, and so everything that is stored. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
