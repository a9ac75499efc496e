// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Agreement} from "./Agreement.sol";
import {Appeals} from "./Appeals.sol";
import {Demands} from "./Demands.sol";
import {Rounds} from "./Rounds.sol";
import {Rules} from "./Rules.sol";
import {Seats} from "./Seats.sol";
import {Signatures} from "./Signatures.sol";
import {Staking} from "./Staking.sol";
import {Vault} from "./Vault.sol";
import {Views} from "./Views.sol";
import {Withdrawals} from "./Withdrawals.sol";

/// @title Resolution: the second half of Market's code, run by delegatecall on Market's storage
/// @dev Deployed first, and named to Market's constructor, which can never name another (docs/decisions/0020). Called directly
/// it is an empty market of its own, into which no money comes: it takes no deposit.
contract Resolution is Signatures, Rules, Vault, Staking, Withdrawals, Demands, Appeals, Agreement, Views {
    /// @param token a plain ERC-20 (P1.2)
    /// @param seatStake S, @param minimumFee least f; a fee must fit between it and S/32
    /// @param beacon source of seeds, or zero for the chain's own block hashes
    constructor(address token, uint96 seatStake, uint96 minimumFee, address beacon, Limits memory limits)
        Vault(token)
        Rules(seatStake, minimumFee, limits)
        Seats(seatStake, _exitDelayOf(limits))
        Rounds(beacon)
    {}
}
