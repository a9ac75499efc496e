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
/// @dev Market creates it in its constructor and can never name another. Called directly it is an empty market of its own, in
/// which nobody can post.
contract Resolution is Signatures, Rules, Vault, Staking, Withdrawals, Demands, Appeals, Agreement, Views {
    constructor(address token, uint96 seatStake, uint96 minimumFee, address beacon, Limits memory limits)
        Vault(token)
        Rules(seatStake, minimumFee, limits)
        Seats(seatStake, _exitDelayOf(limits))
        Rounds(beacon)
    {}
}
